// lab: PCI devices on a real kernel with an IOMMU: the six operations, good and bad, and a guest under
// KVM that sees the device it was given.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { test } from 'node:test';
import { askGuest, type Daemon, startDaemon } from '../e2e/daemon.ts';
import { installProbe } from '../e2e/probe-image.ts';
import { requireCapability } from '../helpers/capabilities.ts';

const DEVICES = '/sys/bus/pci/devices';

interface Found {
  readonly address: string;
  readonly id: string;
  readonly group: string;
}

/** What the kernel says, read without the daemon's help. */
function devices(): Found[] {
  const text = (path: string) => readFileSync(path, 'utf8').trim().replace('0x', '');
  return readdirSync(DEVICES).map((address) => ({
    address,
    id: `${text(`${DEVICES}/${address}/vendor`)}:${text(`${DEVICES}/${address}/device`)}`,
    group: basename(readlinkSync(`${DEVICES}/${address}/iommu_group`)),
  }));
}

function driverOf(address: string): string {
  const link = `${DEVICES}/${address}/driver`;
  return existsSync(link) ? basename(readlinkSync(link)) : '';
}

/** An edu device alone in its group, two that share one, and a network card with a driver. */
function cast() {
  const all = devices();
  const edu = all.filter(({ id }) => id === '1234:11e8');
  const membersOf = (group: string) => all.filter((device) => device.group === group);
  const alone = edu.find(({ group }) => membersOf(group).length === 1);
  const shared = edu.filter(({ group }) => membersOf(group).length > 1);
  const card = all.find(({ id }) => id === '1af4:1041');
  assert.ok(alone && card && shared[0] && shared[1], 'the lab has its devices');
  return { alone, shared: [shared[0], shared[1]] as const, card };
}

const ask = (daemon: Daemon, operation: string, body: object) =>
  daemon.call('POST', `/api/v1/vfio/devices/${operation}`, body);

test('PCI devices in the lab', async (t) => {
  if (!requireCapability(t, 'lab')) return;
  // An emulated daemon takes its time to start: one for all.
  const daemon = await startDaemon(t, {
    VOLANT_ACCELERATOR: 'kvm',
    VOLANT_VFIO_ALLOW: '1234:*,1af4:1041',
  });
  const told = 'devices are told as the kernel has them, and what is wrong with a request';
  await t.test(told, () => tellsDevices(daemon));
  const comesBack = 'bind and unbind: the former driver comes back, and nothing is bound half';
  await t.test(comesBack, () => bindsAndUnbinds(daemon));
  await t.test('an operator may forbid devices', () => forbids(daemon));
  const guest = 'a guest under KVM sees its device; it is given back on stop, crash and delete';
  await t.test(guest, () => givesToGuest(daemon));
});

async function tellsDevices(daemon: Daemon): Promise<void> {
  const { alone, shared, card } = cast();
  const info = await ask(daemon, 'info', { pci_address: alone.address.toUpperCase() });
  assert.deepEqual(info.body, {
    address: alone.address,
    vendor: '1234',
    device: '11e8',
    driver: '',
    iommu_group: alone.group,
    numa_node: readFileSync(`${DEVICES}/${alone.address}/numa_node`, 'utf8').trim(),
  });
  assert.equal((await ask(daemon, 'info', { pci_address: '../../etc' })).status, 400);
  assert.equal((await ask(daemon, 'info', { pci_address: '0000:7f:00.0' })).status, 404);
  assert.equal((await ask(daemon, 'info', {})).status, 400);

  const pci_addresses = [shared[0].address];
  const groups = await ask(daemon, 'iommu-groups', { pci_addresses });
  const members = devices().filter(({ group }) => group === shared[0].group);
  assert.deepEqual(groups.body, [
    { id: shared[0].group, devices: members.map(({ address }) => address).sort() },
  ]);
  assert.deepEqual((await ask(daemon, 'iommu-groups', { pci_addresses: [] })).body, []);

  const valid = await ask(daemon, 'validate', { pci_addresses: [alone.address] });
  assert.equal(valid.body.valid, true);
  const invalid = await ask(daemon, 'validate', {
    pci_addresses: ['nonsense', '0000:7f:00.0', card.address],
    allowlist: ['1234:*'],
  });
  assert.equal(invalid.status, 200);
  assert.equal(invalid.body.valid, false);
  assert.equal(invalid.body.errors.length, 3);
  assert.equal(invalid.body.message, invalid.body.errors[0]);
}

async function bindsAndUnbinds(daemon: Daemon): Promise<void> {
  const { alone, shared, card } = cast();
  const pci_addresses = [alone.address, card.address];
  const former = driverOf(card.address);
  assert.equal(former, 'virtio-pci');

  const unbound = await ask(daemon, 'group-paths', { pci_addresses });
  assert.deepEqual([unbound.status, unbound.body.code], [409, 'DEVICE_NOT_BOUND']);
  const bound = await ask(daemon, 'bind', { pci_addresses });
  assert.deepEqual([bound.status, bound.body.bound_devices], [200, pci_addresses]);
  assert.deepEqual(pci_addresses.map(driverOf), ['vfio-pci', 'vfio-pci']);
  const paths = await ask(daemon, 'group-paths', { pci_addresses });
  for (const path of paths.body.group_paths) assert.ok(existsSync(path), `${path} is there`);
  assert.equal(paths.body.group_paths.length, 2);

  const missing = await ask(daemon, 'bind', { pci_addresses: [shared[0].address, '0000:7f:00.0'] });
  assert.deepEqual([missing.status, missing.body.success], [404, false]);
  assert.equal(driverOf(shared[0].address), '', 'nothing was bound');

  // Over a restart it is known what the drivers were.
  await daemon.killAndRestart();
  const given = await ask(daemon, 'unbind', { pci_addresses });
  assert.deepEqual([given.status, given.body.unbound_devices], [200, pci_addresses]);
  assert.deepEqual(pci_addresses.map(driverOf), ['', 'virtio-pci']);

  const together = shared.map(({ address }) => address);
  assert.equal((await ask(daemon, 'bind', { pci_addresses: together })).status, 200);
  const group = await ask(daemon, 'group-paths', { pci_addresses: together });
  assert.deepEqual(group.body.group_paths, [`/dev/vfio/${shared[0].group}`]);
  assert.equal((await ask(daemon, 'unbind', { pci_addresses: together })).status, 200);
}

async function forbids(daemon: Daemon): Promise<void> {
  const port = devices().find(({ id }) => id === '1b36:000c');
  assert.ok(port);
  const refused = await ask(daemon, 'bind', { pci_addresses: [port.address] });
  assert.deepEqual([refused.status, refused.body.code], [403, 'DEVICE_FORBIDDEN']);
  assert.equal(driverOf(port.address), 'pcieport');
}

async function givesToGuest(daemon: Daemon): Promise<void> {
  const { alone } = cast();
  await installProbe(daemon);
  const config = { plugin: 'probe', devices: { pci_passthrough: [alone.address] } };
  const vm = await daemon.call('POST', '/api/v1/vms', { name: 'a', config });
  assert.equal(vm.status, 201, vm.text);
  assert.equal(driverOf(alone.address), 'vfio-pci');
  assert.match(await askGuest(vm.body.ip_address, '/v1/cgi-bin/pci'), /0x1234 0x11e8/);

  const second = await daemon.call('POST', '/api/v1/vms', { name: 'b', config });
  assert.deepEqual([second.status, second.body.code], [409, 'DEVICE_OWNED']);
  assert.match(second.body.error, /VM a/);
  const taken = await ask(daemon, 'unbind', { pci_addresses: [alone.address] });
  assert.equal(taken.body.code, 'DEVICE_OWNED');

  await daemon.call('POST', '/api/v1/vms/a/stop');
  assert.equal(driverOf(alone.address), '');
  await daemon.call('POST', '/api/v1/vms/a/start');
  assert.equal(driverOf(alone.address), 'vfio-pci');
  process.kill((await daemon.getVm('a')).pid ?? 0, 'SIGKILL');
  await daemon.waitFor('a', 'crashed');
  assert.equal(driverOf(alone.address), '');

  await daemon.call('POST', '/api/v1/vms/a/start');
  const { pid } = await daemon.getVm('a');
  await daemon.kill('SIGKILL');
  process.kill(pid ?? 0, 'SIGKILL');
  await daemon.start();
  assert.equal(driverOf(alone.address), '', 'recovery gave it back');
  assert.equal((await daemon.call('DELETE', '/api/v1/vms/a')).status, 204);
}
