// e2e: a memory size that is too small for the guest is refused with the size that it needs, and the guest boots with that
// size.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requireCapability } from '../helpers/capabilities.ts';
import { startDaemon } from './daemon.ts';

test('64 MiB are refused for the kernel that is shipped; a guest boots with what the answer says', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  const vm = { name: 'small', plugin: 'hello', memory_mb: 64 };
  const refused = await daemon.call('POST', '/api/v1/vms', vm);
  assert.equal(refused.status, 400);
  const [, smallest = ''] = /at least (\d+) /.exec(refused.body.details.memory_mb) ?? [];
  assert.ok(Number(smallest) > 64 && Number(smallest) < 100, JSON.stringify(refused.body));
  assert.equal((await daemon.call('GET', '/api/v1/vms/small')).status, 404);
  const deployment = {
    name: 'fleet',
    replicas: 1,
    config: { plugin: 'hello', resources: { cpu_cores: 1, memory_mb: 64 } },
  };
  assert.equal((await daemon.call('POST', '/api/v1/deployments', deployment)).status, 400);
  const path = '/api/v1/vms?wait=ready&timeout=60000';
  const made = await daemon.call('POST', path, { ...vm, memory_mb: Number(smallest) });
  assert.equal(made.status, 201, JSON.stringify(made.body));
});
