// What a start of the daemon does with what an earlier one left, on a world of fakes: a second engine
// on the same world is a restart after a kill.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { VmRecord } from '../../src/engine/records.ts';
import { VolantError } from '../../src/lib/errors.ts';
import type { Vm } from '../../src/schema/vm.ts';
import { engineOn, leftovers, NOTHING_LEFT, newWorld, type World } from './fakes.ts';

async function worldWithVm(changes: Partial<VmRecord> = {}): Promise<World> {
  const world = newWorld();
  const control = await engineOn(world);
  await control.engine.vms.create({ name: 'web', plugin: 'hello' });
  // A killed daemon sees nothing of what comes after.
  await control.shutdown();
  const record = world.store.vms.get(1);
  assert.ok(record);
  world.store.vms.set(1, { ...record, ...changes });
  return world;
}

function kill(world: World): void {
  for (const [pid] of world.host.processes) world.host.processes.delete(pid);
}

async function statusAfterRestart(world: World): Promise<string | undefined> {
  const { engine } = await engineOn(world);
  const body = engine.vms.get('web');
  return body === undefined ? undefined : (JSON.parse(body) as Vm).status;
}

suite('recovery', () => {
  test('a running VM is adopted: same process, no event, and it can be stopped', async () => {
    const world = await worldWithVm();
    const events = world.store.events.length;
    const { engine } = await engineOn(world);
    assert.equal(JSON.parse(engine.vms.get('web') ?? '{}').pid, 1000);
    assert.equal(world.store.events.length, events);
    await engine.vms.stop('web');
    assert.equal(world.host.processes.size, 0);
  });

  test('a config that is of no use does not keep a running VM from being adopted', async () => {
    for (const broken of ['launched', 'newest']) {
      const world = await worldWithVm({ configVersion: 2 });
      const [first] = world.store.configs(1, 1);
      assert.ok(first);
      const bad = { ...first.config, rootfs: { url: 'file:///50%.img' } };
      for (const version of [1, 2]) {
        const isBroken = broken === (version === 1 ? 'launched' : 'newest');
        const config = isBroken ? bad : first.config;
        world.store.stored.set(`1/${version}`, { ...first, version, config });
      }
      const { engine } = await engineOn(world);
      assert.equal(JSON.parse(engine.vms.get('web') ?? '{}').pid, 1000, broken);
      await engine.vms.stop('web');
      assert.equal(world.host.processes.size, 0);
    }
  });

  test('the exit of an adopted VM is seen', async () => {
    const world = await worldWithVm();
    const { engine } = await engineOn(world);
    world.hypervisor.guestEnd = undefined;
    const told = new Promise((resolve) => engine.events.subscribe(resolve));
    world.host.processes.get(1000)?.end({ code: null, signal: null });
    await told;
    assert.equal(JSON.parse(engine.vms.get('web') ?? '{}').status, 'crashed');
  });

  test('a process that is gone means crashed, and its tap goes', async () => {
    const world = await worldWithVm();
    kill(world);
    assert.equal(await statusAfterRestart(world), 'crashed');
    assert.equal(world.host.taps.size, 0);
  });

  test('a process that ended in good order means stopped', async () => {
    const world = await worldWithVm();
    kill(world);
    world.host.orderlyExitIds.push(1);
    assert.equal(await statusAfterRestart(world), 'stopped');
  });

  test('a host that was restarted means stopped', async () => {
    const world = await worldWithVm();
    kill(world);
    world.host.bootId = 'boot-2';
    assert.equal(await statusAfterRestart(world), 'stopped');
  });

  test('a create that was cut off before its launch is undone', async () => {
    const world = await worldWithVm({ status: 'starting', neverRan: true, process: null });
    kill(world);
    assert.equal(await statusAfterRestart(world), undefined);
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
    assert.equal(world.store.events.at(-1)?.body.type, 'VM_DELETED');
  });

  test('a create whose process lives is finished', async () => {
    const world = await worldWithVm({ status: 'starting', neverRan: true, process: null });
    assert.equal(await statusAfterRestart(world), 'running');
    assert.equal(world.host.processes.size, 1);
  });

  test('a start that was cut off leaves the VM stopped', async () => {
    const world = await worldWithVm({ status: 'starting', process: null });
    kill(world);
    assert.equal(await statusAfterRestart(world), 'stopped');
  });

  test('a stop that was cut off is finished', async () => {
    const world = await worldWithVm({ status: 'stopping' });
    const { engine } = await engineOn(world);
    while (JSON.parse(engine.vms.get('web') ?? '{}').status !== 'stopped') {
      await new Promise(setImmediate);
    }
    assert.equal(world.host.processes.size, 0);
  });

  test('a delete that was cut off is finished', async () => {
    const world = await worldWithVm({ status: 'deleting' });
    const { engine } = await engineOn(world);
    while (engine.vms.get('web') !== undefined) await new Promise(setImmediate);
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });

  test('what no record owns is swept away', async () => {
    const world = await worldWithVm();
    world.store.vms.clear();
    world.store.stored.clear();
    world.store.addresses.clear();
    const { engine } = await engineOn(world);
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
    assert.equal((await engine.system.info()).recovery?.swept, 4);
  });

  test('a hypervisor that does not answer is kept and can be ended', async () => {
    const world = await worldWithVm();
    world.hypervisor.beforeConnect = () => Promise.reject(new VolantError('HYPERVISOR_TIMEOUT'));
    const { engine } = await engineOn(world);
    assert.equal(JSON.parse(engine.vms.get('web') ?? '{}').status, 'running');
    await engine.vms.destroy('web');
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });

  test('leases and numbers go on where they were', async () => {
    const world = await worldWithVm();
    const { engine } = await engineOn(world);
    const vm: Vm = JSON.parse(await engine.vms.create({ name: 'two', plugin: 'hello' }));
    assert.deepEqual([vm.id, vm.ip_address], [2, '192.168.127.11']);
    const sequences = world.store.events.map(({ sequence }) => sequence);
    assert.deepEqual(
      sequences,
      sequences.map((_, index) => index + 1),
    );
  });

  test('teardown leaves nothing at all', async () => {
    const world = await worldWithVm();
    const control = await engineOn(world);
    await control.engine.vms.create({ name: 'two', plugin: 'hello' });
    await control.teardown();
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
    assert.equal(world.host.network, false);
  });
});
