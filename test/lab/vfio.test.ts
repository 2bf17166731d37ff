// lab: the six operations on PCI devices, valid and invalid, on a real kernel with an IOMMU.

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { type Daemon, startDaemon } from '../e2e/daemon.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { ALLOWED, ask, cast, driverOf, membersOf, stateOfAll, text, until } from './pci.ts';

test('PCI devices in the lab', async (t) => {
  if (!requireCapability(t, 'lab')) return;
  // An emulated daemon takes its time to start: one for all.
  const daemon = await startDaemon(t, {
    VOLANT_ACCELERATOR: 'kvm',
    VOLANT_VFIO_ALLOW: ALLOWED,
  });
  const before = stateOfAll();
  const steps: readonly [string, (daemon: Daemon, t: TestContext) => Promise<void>][] = [
    ['devices are told as the kernel has them, and what is wrong with a request', tellsDevices],
    [
      'bind and unbind: the former drivers come back, over a kill of the daemon too',
      bindsAndUnbinds,
    ],
    ['groups are given out as a whole', wantsWholeGroups],
    ['what the operator forbids, what is not there and what leads to others', refuses],
    ['what the host needs it keeps', keepsWhatHostNeeds],
    [
      'a device that another program has open: nobody hangs, and it comes back in the end',
      waitsForHolder,
    ],
  ];
  for (const [name, step] of steps) {
    await t.test(name, (t) => step(daemon, t));
    assert.deepEqual(stateOfAll(), before, 'drivers and overrides are as they were');
  }
});

async function tellsDevices(daemon: Daemon): Promise<void> {
  const { edu, card, disk, shared } = cast();
  const info = await ask(daemon, 'info', { pci_address: edu.address.toUpperCase() });
  assert.deepEqual(info.body, {
    address: edu.address,
    vendor: '1234',
    device: '11e8',
    driver: '',
    iommu_group: edu.group,
    numa_node: text(edu.address, 'numa_node'),
  });
  const { body } = await ask(daemon, 'info', { pci_address: disk.address });
  assert.deepEqual([body.vendor, body.device, body.driver], ['1b36', '0010', 'nvme']);
  assert.equal((await ask(daemon, 'info', { pci_address: '../../etc' })).status, 400);
  assert.equal((await ask(daemon, 'info', { pci_address: '0000:7f:00.0' })).status, 404);
  assert.equal((await ask(daemon, 'info', {})).status, 400);

  const groups = await ask(daemon, 'iommu-groups', { pci_addresses: [shared.address] });
  assert.deepEqual(groups.body, [{ id: shared.group, devices: membersOf(shared.group) }]);
  assert.deepEqual((await ask(daemon, 'iommu-groups', { pci_addresses: [] })).body, []);
  assert.equal((await ask(daemon, 'iommu-groups', { pci_addresses: ['0:1'] })).status, 400);

  const valid = await ask(daemon, 'validate', { pci_addresses: [edu.address, disk.address] });
  assert.equal(valid.body.valid, true, valid.text);
  const invalid = await ask(daemon, 'validate', {
    pci_addresses: ['nonsense', '0000:7f:00.0', card.address, shared.address],
    allowlist: ['1234:*'],
  });
  assert.equal(invalid.status, 200);
  assert.equal(invalid.body.valid, false);
  assert.equal(invalid.body.errors.length, 4, invalid.text);
  assert.equal(invalid.body.message, invalid.body.errors[0]);
}

async function bindsAndUnbinds(daemon: Daemon): Promise<void> {
  const { edu, card, disk, screen, sound } = cast();
  const pci_addresses = [edu, card, disk, screen, sound].map(({ address }) => address);
  const former = pci_addresses.map(driverOf);
  assert.deepEqual(former, ['', 'virtio-pci', 'nvme', '', '']);

  const unbound = await ask(daemon, 'group-paths', { pci_addresses });
  assert.deepEqual([unbound.status, unbound.body.code], [409, 'DEVICE_NOT_BOUND']);
  const bound = await ask(daemon, 'bind', { pci_addresses });
  assert.deepEqual([bound.status, bound.body.bound_devices], [200, pci_addresses], bound.text);
  assert.deepEqual(pci_addresses.map(driverOf), Array(5).fill('vfio-pci'));
  const { group_paths } = (await ask(daemon, 'group-paths', { pci_addresses })).body;
  const numbers = [...new Set([edu, card, disk, screen].map(({ group }) => Number(group)))];
  assert.deepEqual(
    group_paths,
    numbers.sort((a, b) => a - b).map((number) => `/dev/vfio/${number}`),
  );
  for (const path of group_paths) assert.ok(existsSync(path), `${path} is there`);

  await daemon.killAndRestart();
  const given = await ask(daemon, 'unbind', { pci_addresses });
  assert.deepEqual([given.status, given.body.unbound_devices], [200, pci_addresses], given.text);
  assert.deepEqual(pci_addresses.map(driverOf), former);
  const nothing = await ask(daemon, 'unbind', { pci_addresses });
  assert.deepEqual([nothing.status, nothing.body.unbound_devices], [200, []]);
}

async function wantsWholeGroups(daemon: Daemon): Promise<void> {
  const { shared, neighbour } = cast();
  const alone = await ask(daemon, 'bind', { pci_addresses: [shared.address] });
  assert.deepEqual([alone.status, alone.body.code], [409, 'GROUP_NOT_VIABLE']);
  assert.match(alone.body.error, new RegExp(`${neighbour.address} \\(virtio-pci\\)`));
  assert.deepEqual([alone.body.success, alone.body.bound_devices], [false, []]);

  const pci_addresses = [shared.address, neighbour.address];
  assert.equal((await ask(daemon, 'bind', { pci_addresses })).status, 200);
  const { body } = await ask(daemon, 'group-paths', { pci_addresses });
  assert.deepEqual(body.group_paths, [`/dev/vfio/${shared.group}`]);
  assert.equal((await ask(daemon, 'unbind', { pci_addresses })).status, 200);
  assert.equal(driverOf(neighbour.address), 'virtio-pci');
}

async function refuses(daemon: Daemon): Promise<void> {
  const { port, edu } = cast();
  const bind = async (...pci_addresses: string[]) => {
    const { status, body } = await ask(daemon, 'bind', { pci_addresses });
    return [status, body.code, Object.keys(body.details ?? {})];
  };
  assert.deepEqual(await bind(port.address), [403, 'DEVICE_FORBIDDEN', [port.address]]);
  const absent = ['0000:7f:00.0', '0000:7f:00.1'];
  assert.deepEqual(await bind(edu.address, ...absent), [404, 'DEVICE_NOT_FOUND', absent]);
  assert.deepEqual(await bind('7f:00.0'), [400, 'BODY_INVALID', ['pci_addresses[0]']]);
  const check = await ask(daemon, 'validate', { pci_addresses: [port.address] });
  assert.match(check.body.errors.join('\n'), /is a bridge/);
}

async function keepsWhatHostNeeds(daemon: Daemon, t: TestContext): Promise<void> {
  const { card, disk } = cast();
  const refused = async (address: string) =>
    (await ask(daemon, 'bind', { pci_addresses: [address] })).body;
  const sh = (command: string) => execFileSync('sh', ['-c', command], { encoding: 'utf8' });
  const mountPoint = `${daemon.home}/mounted`;
  mkdirSync(mountPoint);
  sh(`mke2fs -q -t ext4 /dev/nvme0n1 8M && mount /dev/nvme0n1 ${mountPoint}`);
  t.after(() => sh(`umount ${mountPoint}`));
  const mounted = await refused(disk.address);
  assert.equal(mounted.code, 'DEVICE_IN_USE');
  assert.match(mounted.error, /disk nvme0n1 is mounted/);

  const [virtio = ''] = readdirSync(`/sys/bus/pci/devices/${card.address}`).filter((name) =>
    /^virtio\d+$/.test(name),
  );
  const [link = ''] = readdirSync(`/sys/bus/pci/devices/${card.address}/${virtio}/net`);
  sh(`ip link set ${link} up`);
  const up = await refused(card.address);
  assert.match(up.error, new RegExp(`network interface ${link} is up`));
  sh(`ip link set ${link} down`);
}

/** A program of somebody else's that has the device open, as a hypervisor does. It ends with the test. */
async function holderOf(t: TestContext, address: string): Promise<ChildProcess> {
  const flags = '-M q35 -nodefaults -no-user-config -nographic -S -qmp stdio';
  const args = [...flags.split(' '), '-device', `vfio-pci,host=${address}`];
  const holder = spawn('qemu-system-x86_64', args, { stdio: ['pipe', 'pipe', 'ignore'] });
  t.after(() => holder.kill('SIGKILL'));
  // It says hello before it has its devices, and answers afterwards.
  const answered = new Promise<void>((resolve) => {
    holder.stdout.on('data', (text) => String(text).includes('"return"') && resolve());
  });
  holder.stdin.write('{"execute": "qmp_capabilities"}\n');
  await answered;
  return holder;
}

async function waitsForHolder(daemon: Daemon, t: TestContext): Promise<void> {
  const { card } = cast();
  const pci_addresses = [card.address];
  assert.equal((await ask(daemon, 'bind', { pci_addresses })).status, 200);
  const holder = await holderOf(t, card.address);
  const config = { plugin: 'hello', devices: { pci_passthrough: pci_addresses } };
  const vm = await daemon.call('POST', '/api/v1/vms', { name: 'late', config });
  assert.deepEqual([vm.status, vm.body.code], [409, 'DEVICE_IN_USE'], vm.text);
  assert.match(vm.body.error, /Another program has IOMMU group/);
  assert.equal((await daemon.call('GET', '/api/v1/vms/late')).status, 404);

  const busy = await ask(daemon, 'unbind', { pci_addresses });
  assert.deepEqual([busy.status, busy.body.code], [500, 'DEVICE_BUSY'], busy.text);
  assert.deepEqual(busy.body.unbound_devices, []);
  const again = await ask(daemon, 'unbind', { pci_addresses });
  assert.match(again.body.error, /still blocks on device/, 'nobody lines up behind it');

  const ended = once(holder, 'exit');
  holder.kill('SIGKILL');
  await ended;
  await until(() => driverOf(card.address) === 'virtio-pci', 'the card is given back');
}
