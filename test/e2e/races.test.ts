// e2e: clients read objects that others create and delete at the same time. Each answer matches one of the states, and none
// is an internal error.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requireCapability } from '../helpers/capabilities.ts';
import { startDaemon } from './daemon.ts';

const RACE_MS = 4_000;
const VFIO = ['info', 'validate', 'iommu-groups', 'bind', 'unbind', 'group-paths'];

test('no moment of a create or delete is an internal error for a request at that time', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
  const untilMs = Date.now() + RACE_MS;
  const failures: string[] = [];
  const counts = new Map<number, number>();
  const ask = async (method: string, path: string, body?: object) => {
    const { status, text, headers } = await daemon.call(method, path, body);
    counts.set(status, (counts.get(status) ?? 0) + 1);
    assert.ok(headers.get('x-request-id'), `${method} ${path}`);
    // 503 says when to return, and is no fault.
    if (status >= 500 && status !== 503) failures.push(`${method} ${path}: ${status} ${text}`);
    return status;
  };
  const again = async (work: () => Promise<unknown>) => {
    while (Date.now() < untilMs) await work();
  };
  const names = ['a', 'b', 'c', 'd'];
  const makers = names.flatMap((name) => [
    again(async () => {
      const made = await ask('POST', '/api/v1/vms', { name, plugin: 'hello' });
      // A name is taken when its VM can be seen; it may be gone again by now.
      if (made === 201) await ask('GET', `/api/v1/vms/${name}`);
      await ask('DELETE', `/api/v1/vms/${name}`);
    }),
    again(() => ask('DELETE', `/api/v1/vms/${name}`)),
  ]);
  const readers = [1, 2].map(() =>
    again(async () => {
      for (const name of names) {
        for (const what of ['config', 'config/history', 'openapi', 'operations']) {
          await ask('GET', `/api/v1/vms/${name}/${what}`);
        }
        await ask('PATCH', `/api/v1/vms/${name}/config`, { metadata: { at: Date.now() } });
      }
    }),
  );
  const devices = [1, 2].map(() =>
    again(async () => {
      for (const what of VFIO) {
        const body = what === 'info' ? { pci_address: '0000:ff:1f.7' } : { pci_addresses: [] };
        await ask('POST', `/api/v1/vfio/devices/${what}`, body);
      }
    }),
  );
  const deployments = again(async () => {
    await ask('POST', '/api/v1/deployments', {
      name: 'web',
      replicas: 2,
      config: { plugin: 'hello' },
    });
    await ask('DELETE', '/api/v1/deployments/web');
  });
  await Promise.all([...makers, ...readers, ...devices, deployments]);
  assert.deepEqual(failures, [], JSON.stringify([...counts]));
  for (const status of [200, 201, 204, 404]) assert.ok(counts.get(status), `${status} was seen`);
});
