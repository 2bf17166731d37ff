// e2e: PCI devices whose kernel misbehaves: no device stays between two drivers, and the daemon continues. Devices of a
// working kernel are tested in test/lab.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { volar } from '../cli/volar.ts';
import { requireCapability } from '../helpers/capabilities.ts';
import { untilPasses } from '../helpers/until.ts';
import { type Daemon, startDaemon } from './daemon.ts';
import { FakeSysfs, VFIO_DRIVER } from './fake-sysfs.ts';

const [ONE, TWO, OTHER] = ['0000:01:00.0', '0000:01:00.1', '0000:02:00.0'] as const;

/** Two devices of one group on driver `host`, and one without a driver. */
async function start(t: TestContext): Promise<{ daemon: Daemon; sysfs: FakeSysfs }> {
  const sysfs = new FakeSysfs(t, ['host']);
  sysfs.addDevice(ONE, '7', 'host');
  sysfs.addDevice(TWO, '7', 'host');
  sysfs.addDevice(OTHER, '8', '');
  const daemon = await startDaemon(t, {
    VOLANT_HYPERVISOR: 'simulator',
    VOLANT_SYSFS_ROOT: sysfs.root,
  });
  return { daemon, sysfs };
}

const ask = (daemon: Daemon, operation: string, ...pci_addresses: string[]) =>
  daemon.call('POST', `/api/v1/vfio/devices/${operation}`, { pci_addresses });

/** Drivers and overrides of all three. */
const stateOf = (sysfs: FakeSysfs) =>
  [ONE, TWO, OTHER].map((address) => `${sysfs.driverOf(address)}:${sysfs.overrideOf(address)}`);

const BEFORE = ['host:', 'host:', ':'];

test('a device that vfio-pci does not take: those before it go back to their drivers', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const { daemon, sysfs } = await start(t);
  sysfs.refused.add(TWO);
  const failed = await ask(daemon, 'bind', OTHER, ONE, TWO);
  assert.equal(failed.body.code, 'DEVICE_FAILED', failed.text);
  assert.deepEqual(stateOf(sysfs), BEFORE);
  sysfs.refused.clear();
  assert.equal((await ask(daemon, 'bind', OTHER, ONE, TWO)).status, 200);
  assert.deepEqual(
    [ONE, TWO, OTHER].map((address) => sysfs.driverOf(address)),
    [...Array(3).fill(VFIO_DRIVER)],
  );
  assert.equal((await ask(daemon, 'unbind', OTHER, ONE, TWO)).status, 200);
  assert.deepEqual(stateOf(sysfs), BEFORE);
});

test('a kernel that does not return costs the request its deadline, and nobody else anything', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const { daemon, sysfs } = await start(t);
  sysfs.block('host', 'unbind');
  const binding = ask(daemon, 'bind', OTHER, ONE, TWO);
  await pause(500);
  assert.equal((await daemon.createVm('meanwhile')).status, 'running');
  const info = await daemon.call('POST', '/api/v1/vfio/devices/info', { pci_address: ONE });
  assert.equal(info.body.driver, 'host');
  const busy = await binding;
  assert.equal(busy.body.code, 'DEVICE_BUSY', busy.text);
  // What cannot be given back at once is given back by a later attempt.
  await untilPasses(() => assert.deepEqual(stateOf(sysfs), BEFORE));
  sysfs.obey('host', 'unbind');
  assert.equal(
    (await ask(daemon, 'bind', ONE, TWO)).status,
    200,
    'and then it is as if nothing was',
  );
});

test('a daemon that is killed on the way knows afterwards what to give back', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const { daemon, sysfs } = await start(t);
  sysfs.block('host', 'unbind');
  const binding = ask(daemon, 'bind', OTHER, ONE, TWO).catch(() => 'cut off');
  while (sysfs.overrideOf(ONE) === '') await pause(10);
  assert.equal(sysfs.driverOf(OTHER), VFIO_DRIVER);
  await daemon.killAndRestart();
  assert.equal(await binding, 'cut off');
  sysfs.obey('host', 'unbind');
  assert.equal((await ask(daemon, 'unbind', OTHER, ONE, TWO)).status, 200);
  assert.deepEqual(stateOf(sysfs), BEFORE);
});

test('a driver that is gone, and a device that is pulled out', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const { daemon, sysfs } = await start(t);
  assert.equal((await ask(daemon, 'bind', ONE, TWO)).status, 200);
  sysfs.removeDriver('host');
  const orphaned = await ask(daemon, 'unbind', ONE);
  assert.equal(orphaned.body.code, 'DEVICE_FAILED', orphaned.text);
  assert.equal(sysfs.overrideOf(ONE), '', 'any driver may have it from here on');

  const config = { plugin: 'hello', devices: { pci_passthrough: [OTHER] } };
  const made = await daemon.call('POST', '/api/v1/vms', { name: 'a', config });
  assert.equal(made.status, 201, made.text);
  sysfs.removeDevice(OTHER);
  assert.equal((await daemon.call('DELETE', '/api/v1/vms/a')).status, 204);
  sysfs.addDevice(OTHER, '9', '');
  const again = await daemon.call('POST', '/api/v1/vms', { name: 'b', config });
  assert.equal(again.status, 201, 'nobody has it any more');
});

test('what cannot work is refused before anything is touched', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const { daemon, sysfs } = await start(t);
  sysfs.addDevice('0000:03:00.0', '', '');
  const code = async (...addresses: string[]) =>
    (await ask(daemon, 'bind', ...addresses)).body.code;
  assert.equal(await code(ONE), 'GROUP_NOT_VIABLE', 'the host has the other one of its group');
  assert.equal(await code('0000:03:00.0'), 'VFIO_UNAVAILABLE', 'no IOMMU');
  assert.equal(await code('0000:04:00.0'), 'DEVICE_NOT_FOUND');
  assert.equal(await code('01:00'), 'BODY_INVALID');
  assert.deepEqual(stateOf(sysfs), BEFORE);
});

test('a device that was on vfio-pci before stays there', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const { daemon, sysfs } = await start(t);
  sysfs.addDevice('0000:05:00.0', '11', VFIO_DRIVER);
  for (const operation of ['bind', 'bind', 'unbind']) {
    assert.equal((await ask(daemon, operation, '0000:05:00.0')).status, 200);
    assert.equal(sysfs.driverOf('0000:05:00.0'), VFIO_DRIVER);
  }
});

test('volar and agents say and do the same', async (t) => {
  if (!requireCapability(t, 'root', 'netns', 'tun')) return;
  const { daemon, sysfs } = await start(t);
  const type = (...words: string[]) => volar(t, daemon.url, ['devices', ...words]);
  assert.match((await type('show', ONE, OTHER)).stdout, /^0000:01:00\.0 +1234:11e8 +host +7 /m);
  const check = await type('check', ONE);
  assert.equal(check.status, 1);
  assert.match(check.stdout, /shares its IOMMU group with 0000:01:00\.1/);
  assert.equal(check.stderr, '');
  assert.match((await type('groups', TWO)).stdout, /^7 +0000:01:00\.0 0000:01:00\.1$/m);
  assert.match((await type('bind', ONE)).stderr, /volar devices groups/, 'the way out is told');
  assert.equal((await type('bind', ONE, TWO)).stdout, `${ONE}  bound\n${TWO}  bound\n`);
  assert.equal((await type('paths', ONE, TWO)).stdout, '/dev/vfio/7\n');
  assert.equal((await type('unbind', ONE, TWO, OTHER)).status, 0);
  assert.deepEqual(stateOf(sysfs), BEFORE);

  const run = async (tool: string, params: object) => {
    const command = `volant.devices.${tool}`;
    return (await daemon.call('POST', '/api/v1/mcp', { command, params })).body;
  };
  const pci_addresses = [ONE, TWO];
  assert.equal((await run('get', { pci_address: ONE })).result.driver, 'host');
  assert.equal((await run('validate', { pci_addresses })).result.valid, true);
  assert.equal((await run('groups', { pci_addresses })).result.groups[0].id, '7');
  const bound = (await run('bind', { pci_addresses })).result;
  assert.deepEqual(bound, { bound_devices: pci_addresses });
  assert.equal((await run('unbind', { pci_addresses })).result.unbound_devices.length, 2);
  assert.match((await run('bind', { pci_addresses: ['x'] })).error, /pci_addresses/);
  assert.deepEqual(stateOf(sysfs), BEFORE);
});
