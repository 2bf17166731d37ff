// e2e: many VMs at once.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { requireCapability } from '../helpers/capabilities.ts';
import { askGuest, startDaemon } from './daemon.ts';

test('40 boots beside two busy loops: none is lost', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  // In sessions of their own: in ours they would take the processor from this client, and not from the guests.
  const options = { stdio: 'ignore', detached: true } as const;
  const loops = [1, 2].map(() => spawn(process.execPath, ['-e', 'for (;;);'], options));
  t.after(() => loops.forEach((loop) => void loop.kill('SIGKILL')));
  const names = Array.from({ length: 40 }, (_, index) => `boot-${index}`);
  const bootNext = async (): Promise<void> => {
    for (let name = names.shift(); name !== undefined; name = names.shift()) {
      const vm = await daemon.createVm(name);
      const answer = await askGuest(vm.ip_address, '/v1/');
      assert.match(answer, new RegExp(`"name": "${name}"`));
      assert.equal((await daemon.call('DELETE', `/api/v1/vms/${name}`)).status, 204);
    }
  };
  await Promise.all([bootNext(), bootNext(), bootNext(), bootNext()]);
  assert.deepEqual([daemon.taps(), daemon.runDirectories()], [[], []]);
});

test('300 simulated VMs: distinct addresses, all adopted after kill -9, all deleted', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, {
    VOLANT_HYPERVISOR: 'simulator',
    VOLANT_SUBNET: '10.77.0.0/16',
    VOLANT_HOST_IP: '10.77.0.1',
  });
  const names = Array.from({ length: 300 }, (_, index) => `sim-${index}`);
  const vms = await Promise.all(names.map((name) => daemon.createVm(name)));
  for (const key of ['ip_address', 'mac_address', 'vsock_cid', 'pid'] as const) {
    assert.equal(new Set(vms.map((vm) => vm[key])).size, 300, key);
  }
  assert.equal(daemon.taps().length, 300);
  await daemon.killAndRestart();
  assert.match(daemon.log(), /"adopted":300,"crashed":0,"stopped":0,"undone":0,"swept":0/);
  const { headers } = await daemon.call('GET', '/api/v1/vms?limit=0&status=running');
  assert.equal(headers.get('x-total-count'), '300');
  const deleted = await Promise.all(
    names.map((name) => daemon.call('DELETE', `/api/v1/vms/${name}`)),
  );
  assert.ok(deleted.every(({ status }) => status === 204));
  assert.deepEqual([daemon.taps(), daemon.runDirectories()], [[], []]);
});
