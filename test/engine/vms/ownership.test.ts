// Who owns what: names, addresses and numbers that look alike or are asked for at once, and what a VM keeps until its
// hypervisor is seen to be gone.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { LIMITS } from '../../../src/config/limits.ts';
import { VolantError } from '../../../src/lib/errors.ts';
import { engineOn, leftovers, NOTHING_LEFT, newWorld } from '../fakes.ts';

const vm = (name: string, more: object = {}) => ({ name, plugin: 'hello', ...more });

suite('names and numbers', () => {
  test('names that look alike, and long ones, have taps of their own, and an end takes one of them', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const long = 'a-name-that-is-longer-than-the-name-of-a-link-may-be';
    const names = ['web-1', 'web1', `${long}-1`, `${long}-2`];
    for (const name of names) await engine.vms.create(vm(name));
    const taps = [...world.host.taps];
    assert.equal(taps.length, names.length);
    assert.ok(taps.every((tap) => tap.length <= 15));
    await engine.vms.destroy('web-1');
    assert.deepEqual([...world.host.taps], taps.slice(1));
  });

  test('100 creates at once: no address, MAC address, tap or vsock number twice', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    await Promise.all(
      Array.from({ length: 100 }, (_, index) => engine.vms.create(vm(`vm-${index}`))),
    );
    const leases = [...world.store.vms.values()].map((record) => record.leases);
    for (const of of ['ipAddress', 'macAddress', 'tapName', 'vsockCid'] as const) {
      assert.equal(new Set(leases.map((lease) => lease[of])).size, 100, of);
    }
    await Promise.all(Array.from({ length: 100 }, (_, index) => engine.vms.destroy(`vm-${index}`)));
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
    // Numbers that are made of the id do not come again.
    await engine.vms.create(vm('next'));
    const [next] = [...world.store.vms.values()];
    assert.ok(leases.every(({ vsockCid }) => vsockCid !== next?.leases.vsockCid));
  });

  test('of 50 creates that ask for one address one gets it, the others learn which VM has it', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const network = { mode: 'bridged' as const, ip_address: '192.168.127.77' };
    const attempts = await Promise.allSettled(
      Array.from({ length: 50 }, (_, index) =>
        engine.vms.create(vm(`vm-${index}`, { config: { network } })),
      ),
    );
    const refused = attempts.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
    assert.equal(refused.length, 49);
    const [winner] = [...world.store.vms.values()];
    for (const error of refused) {
      assert.ok(error instanceof VolantError);
      assert.equal(error.code, 'ADDRESS_TAKEN');
      assert.match(error.message, new RegExp(`belongs to VM ${winner?.name}$`));
    }
    assert.equal(world.host.processes.size, 1);
  });

  for (const mode of ['vsock', 'dhcp'] as const) {
    test(`VMs without an address of ours (${mode}) do not get into each other’s way`, async () => {
      const world = newWorld();
      const { engine } = await engineOn(world);
      const config = { network: { mode } };
      await Promise.all(['a', 'b', 'c'].map((name) => engine.vms.create(vm(name, { config }))));
      assert.equal(world.host.processes.size, 3);
      assert.equal(world.store.addresses.size, 0);
    });
  }
});

suite('a hypervisor that ignores SIGTERM', () => {
  test('is killed, and until it is gone its VM keeps name, address and tap', async (t) => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const before = JSON.parse(await engine.vms.create(vm('web')));
    const process = world.host.processes.get(before.pid);
    assert.ok(process);
    process.ignores = ['SIGTERM', 'SIGKILL'];
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const destroying = engine.vms.destroy('web', 0);
    const isKilled = () => process.signals.includes('SIGKILL');
    for (let turn = 0; turn < 1_000 && !isKilled(); turn += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      t.mock.timers.tick(LIMITS.stopTerminateMs / 10);
    }
    assert.deepEqual(process.signals, ['SIGTERM', 'SIGKILL']);
    await assert.rejects(engine.vms.create(vm('web')), { code: 'VM_NAME_TAKEN' });
    const network = { mode: 'bridged' as const, ip_address: before.ip_address };
    await assert.rejects(engine.vms.create(vm('other', { config: { network } })), {
      code: 'ADDRESS_TAKEN',
    });
    assert.equal(world.host.taps.size, 1);
    process.end({ code: null, signal: 'SIGKILL' });
    t.mock.timers.reset();
    await destroying;
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });
});

suite('a plugin', () => {
  test('that is disabled or removed under its VMs costs them nothing, and new ones are refused', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    await engine.vms.create(vm('web'));
    await engine.plugins.setEnabled('hello', false);
    await assert.rejects(engine.vms.create(vm('more')), { code: 'PLUGIN_DISABLED' });
    await engine.vms.restart('web');
    await engine.plugins.remove('hello');
    await assert.rejects(engine.vms.create(vm('more')), { code: 'PLUGIN_NOT_FOUND' });
    await engine.vms.stop('web');
    await engine.vms.start('web');
    assert.equal(world.host.processes.size, 1);
    await engine.vms.destroy('web');
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });

  test('is not needed where the config has a manifest of its own, unless it is there and disabled', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const manifest = { ...engine.plugins.get('hello'), name: 'own', runtime: 'own' };
    await engine.vms.create({ name: 'one', config: { manifest } });
    assert.deepEqual(
      [...world.store.vms.values()].map(({ plugin }) => plugin),
      ['own'],
    );
    await engine.vms.restart('one');
    // As a config that was read and is sent again.
    await engine.vms.create({ name: 'two', config: { plugin: 'own', manifest } });
    const unlike = { name: 'three', plugin: 'other', config: { manifest } };
    await assert.rejects(engine.vms.create(unlike), { code: 'PLUGIN_MISMATCH' });
    await engine.plugins.install(manifest);
    await engine.plugins.setEnabled('own', false);
    const again = { name: 'three', config: { manifest } };
    await assert.rejects(engine.vms.create(again), { code: 'PLUGIN_DISABLED' });
    const created = await engine.deployments.create({
      name: 'web',
      replicas: 1,
      config: { manifest: { ...manifest, name: 'web' } },
    });
    assert.equal(created.config.plugin, 'web');
    await engine.deployments.remove('web');
    for (const name of ['one', 'two']) await engine.vms.destroy(name);
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });
});
