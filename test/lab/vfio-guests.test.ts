// lab: guests under KVM with PCI devices of their host: they see and use them, and every end of a guest releases its
// devices.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { askGuest, type Daemon, signalVm, startDaemon } from '../e2e/daemon.ts';
import { installProbe } from '../e2e/probe-image.ts';
import { IMAGES, requireCapability } from '../helpers/capabilities.ts';
import { ALLOWED, ask, cast, driverOf, stateOfAll, until } from './pci.ts';

test('guests with PCI devices in the lab', async (t) => {
  if (!requireCapability(t, 'lab')) return;
  const daemon = await startDaemon(t, {
    VOLANT_ACCELERATOR: 'kvm',
    VOLANT_VFIO_ALLOW: ALLOWED,
  });
  const before = stateOfAll();
  await installProbe(daemon);
  await t.test('a guest sees its devices, and reads from its disk', () => sees(daemon));
  await t.test('nobody else gets them', () => isAlone(daemon));
  const givesBack = 'they are given back on stop, crash, delete, a failed launch and at recovery';
  await t.test(givesBack, () => givesBackAlways(daemon));
  assert.deepEqual(stateOfAll(), before, 'drivers and overrides are as they were');
});

function devices() {
  const { edu, disk } = cast();
  return [edu.address, disk.address];
}

const drivers = () => devices().map(driverOf);
const HOST = ['', 'nvme'];
const GUEST = ['vfio-pci', 'vfio-pci'];

const create = (daemon: Daemon, name: string, pci_passthrough: readonly string[], more = {}) =>
  daemon.call('POST', '/api/v1/vms', {
    name,
    config: { plugin: 'probe', devices: { pci_passthrough }, ...more },
  });

async function sees(daemon: Daemon): Promise<void> {
  const vm = await create(daemon, 'a', devices());
  assert.equal(vm.status, 201, vm.text);
  assert.deepEqual(drivers(), GUEST);
  const listed = await askGuest(vm.body.ip_address, '/v1/cgi-bin/pci');
  assert.match(listed, /0x1234 0x11e8/);
  assert.match(listed, /0x1b36 0x0010/);
  // The guest's driver answers, and its reads go through the IOMMU into the guest's memory.
  assert.match(await askGuest(vm.body.ip_address, '/v1/cgi-bin/nvme'), /^lab +\nvolant$/);
}

async function isAlone(daemon: Daemon): Promise<void> {
  const second = await create(daemon, 'b', devices());
  assert.deepEqual([second.status, second.body.code], [409, 'DEVICE_OWNED']);
  assert.match(second.body.error, /VM a/);
  const taken = await ask(daemon, 'unbind', { pci_addresses: devices() });
  assert.equal(taken.body.code, 'DEVICE_OWNED');
  const checked = await ask(daemon, 'validate', { pci_addresses: devices() });
  assert.equal(checked.body.errors.length, 2);
}

async function givesBackAlways(daemon: Daemon): Promise<void> {
  const act = async (action: 'start' | 'stop') => {
    const answer = await daemon.call('POST', `/api/v1/vms/a/${action}`);
    assert.equal(answer.status, 200, answer.text);
  };
  const kill = async () => signalVm(await daemon.getVm('a'), 'SIGKILL');

  /** A device that the kernel does not give back in time is given back by a later attempt. */
  const givenBack = (when: string) => until(() => drivers().join() === HOST.join(), when);

  await act('stop');
  await givenBack('after a stop');
  await act('start');
  assert.deepEqual(drivers(), GUEST);
  await kill();
  await daemon.waitFor('a', 'crashed');
  await givenBack('after a crash');

  await act('start');
  const running = await daemon.getVm('a');
  await daemon.kill('SIGKILL');
  signalVm(running, 'SIGKILL');
  await daemon.start();
  await givenBack('after a recovery');
  // Its end is noted after everything was given back.
  await daemon.waitFor('a', 'crashed');

  await act('start');
  assert.equal((await daemon.call('DELETE', '/api/v1/vms/a')).status, 204);
  await givenBack('after a delete');

  // It begins as a kernel does, and there is nothing in it.
  const kernel_override = join(daemon.home, 'images', 'vmlinux');
  const head = Buffer.alloc(4096);
  readFileSync(join(IMAGES, 'vmlinux')).copy(head, 0, 0, 20);
  writeFileSync(kernel_override, head);
  const failed = await create(daemon, 'c', devices(), { kernel_override });
  assert.equal(failed.body.code, 'HYPERVISOR_FAILED', failed.text);
  await givenBack('after a launch that failed');
}
