// e2e: kill -9 of the daemon at any moment: guests continue to run, and the next daemon knows everything.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { Vm } from '../../src/schema/vm.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { askGuest, isAlive, signalVm, startDaemon } from './daemon.ts';

test('guests outlive kill -9 and SIGTERM of the daemon; the next one adopts them', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  const vm = await daemon.createVm('web');
  await askGuest(vm.ip_address, '/v1/');
  await daemon.kill('SIGKILL');
  assert.match(await askGuest(vm.ip_address, '/v1/'), /"name": "web"/);
  await daemon.start();
  // What is observed may have changed by now.
  const plain = ({ conditions: _, workload: __, ...rest }: Vm) => rest;
  assert.deepEqual(plain(await daemon.getVm('web')), plain(vm));
  assert.match(daemon.log(), /"adopted":1/);
  assert.equal(await daemon.terminate(), 0);
  assert.ok(isAlive(vm.pid));
  await daemon.start();
  // The agent's channel was connected again: the guest can be asked to power off.
  const stopped = await daemon.call('POST', '/api/v1/vms/web/stop');
  assert.equal(stopped.body.status, 'stopped');
  assert.equal(isAlive(vm.pid), false);
});

test('an adopted guest that ends is seen to end', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  const vm = await daemon.createVm('web');
  await daemon.killAndRestart();
  signalVm(vm, 'SIGKILL');
  assert.equal((await daemon.waitFor('web', 'crashed', 'stopped')).status, 'crashed');
  assert.deepEqual(daemon.taps(), []);
});

test('what ended while the daemon was down is reported as what it was', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun', 'qemu', 'kernel')) return;
  const daemon = await startDaemon(t);
  const crashed = await daemon.createVm('crashed');
  const ended = await daemon.createVm('ended');
  await daemon.kill('SIGKILL');
  signalVm(crashed, 'SIGKILL');
  signalVm(ended, 'SIGTERM');
  while (isAlive(crashed.pid) || isAlive(ended.pid)) await pause(10);
  await daemon.start();
  assert.equal((await daemon.getVm('crashed')).status, 'crashed');
  assert.equal((await daemon.getVm('ended')).status, 'stopped');
  assert.deepEqual(daemon.taps(), []);
});

test('kill -9 amid creates and deletes leaks nothing, repeatedly', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const daemon = await startDaemon(t, { VOLANT_HYPERVISOR: 'simulator' });
  for (let round = 0; round < 8; round += 1) {
    const calls = Array.from({ length: 20 }, async (_, index) => {
      const name = `vm-${round}-${index}`;
      const created = await daemon.call('POST', '/api/v1/vms', { name, plugin: 'hello' });
      if (created.status === 201 && index % 2 === 0)
        await daemon.call('DELETE', `/api/v1/vms/${name}`);
    });
    const settled = Promise.allSettled(calls);
    await pause(20 + round * 25);
    await daemon.kill('SIGKILL');
    await settled;
    await daemon.start();
    const { body: vms } = await daemon.call('GET', '/api/v1/vms');
    // What was cut off is brought to its end: a create runs, a delete leaves nothing.
    const onTheirWay = '/api/v1/vms?status=deleting,starting';
    while ((await daemon.call('GET', onTheirWay)).text !== '[]') await pause(20);
    const { body: left } = await daemon.call('GET', '/api/v1/vms');
    assert.ok(left.length <= vms.length);
    for (const vm of left) {
      assert.equal(vm.status, 'running', JSON.stringify(vm));
      assert.ok(isAlive(vm.pid));
    }
    assert.equal(daemon.taps().length, left.length);
    assert.equal(daemon.runDirectories().length, left.length);
    const addresses = new Set(left.map((vm: { ip_address: string }) => vm.ip_address));
    assert.equal(addresses.size, left.length);
  }
});
