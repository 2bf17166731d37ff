// e2e: a workload that cannot run is not `running`; its VM and a wait that timed out contain the reason.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { requireCapability } from '../helpers/capabilities.ts';
import { startDaemon } from './daemon.ts';

test('an entrypoint that is missing is the reason of its VM, and of the wait for it', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  const { body: manifest } = await daemon.call('GET', '/api/v1/plugins/hello');
  manifest.workload.entrypoint = ['/bin/missing'];
  const vm = { name: 'one', plugin: 'hello', config: { manifest } };
  const waited = await daemon.call('POST', '/api/v1/vms?wait=ready&timeout=60000', vm);
  assert.equal(waited.status, 408);
  const why = /entrypoint ended: cannot execute \/bin\/missing: No such file or directory/;
  assert.match(waited.body.error, why);
  assert.match((await daemon.call('GET', '/api/v1/vms/one')).body.status_reason, why);
  const { body } = await daemon.call('GET', '/api/v1/vms/one/agent/healthz');
  assert.ok(['starting', 'backoff'].includes(body.workload.state), body.workload.state);
  const stopped = await daemon.call('POST', '/api/v1/vms/one/stop');
  assert.equal(stopped.status, 200);
  const deadline = Date.now() + 60_000;
  const reason = async () => (await daemon.call('GET', '/api/v1/vms/one')).body.status_reason;
  while ((await reason()) !== undefined && Date.now() < deadline) await pause(100);
  assert.equal(await reason(), undefined, 'a VM that is stopped has no workload');
});
