// What clients see in the moments between two states: while a VM gets its name, while it is removed, and of what has
// not been done at all. On a world of fakes whose disk takes as long as a test wants.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { VolantError } from '../../src/lib/errors.ts';
import type { Vm } from '../../src/schema/vm.ts';
import { engineOn, newWorld, type World } from './fakes.ts';

/** The disk has written, and nobody is told of it before `release`. */
function holdCommitsOf(world: World, type: string) {
  const commit = world.store.commit.bind(world.store);
  let release: () => void = () => undefined;
  let reached: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const written = new Promise<void>((resolve) => {
    reached = resolve;
  });
  world.store.commit = async (writes, events) => {
    const stored = await commit(writes, events);
    if (events.some((event) => event.type === type)) {
      reached();
      await held;
    }
    return stored;
  };
  return { written, release };
}

const code = (wanted: string) => (error: unknown) =>
  error instanceof VolantError && error.code === wanted;

const request = { name: 'web', plugin: 'hello' };

suite('a name', () => {
  test('is not taken before its VM can be seen', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    const { written, release } = holdCommitsOf(world, 'VM_CREATED');
    const first = engine.vms.create(request);
    await written;
    const told: string[] = [];
    const others = [
      engine.vms.create(request).catch((error: VolantError) => told.push(error.code)),
      engine.vms.planCreate(request).catch((error: VolantError) => told.push(error.code)),
    ];
    for (let turns = 0; turns < 20; turns += 1) await turn();
    assert.deepEqual([told, engine.vms.get('web')], [[], undefined]);
    release();
    await Promise.all([first, ...others]);
    assert.deepEqual(told, ['VM_NAME_TAKEN', 'VM_NAME_TAKEN']);
  });

  test('is free again when the create that had it could not be stored', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    let fails = true;
    world.store.beforeCommit = (events) => {
      if (!fails || !events.some(({ type }) => type === 'VM_CREATED')) return;
      fails = false;
      throw new VolantError('STORE_UNAVAILABLE');
    };
    const results = await Promise.allSettled([1, 2, 3].map(() => engine.vms.create(request)));
    const codes = results.map((result) =>
      result.status === 'fulfilled' ? 'made' : (result.reason as VolantError).code,
    );
    assert.deepEqual(codes.sort(), ['STORE_UNAVAILABLE', 'VM_NAME_TAKEN', 'made']);
  });
});

suite('a dry run', () => {
  test('says what the next create gets, and takes nothing of it', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    for (const name of ['one', 'two', 'three']) {
      const plans = [await engine.vms.planCreate({ ...request, name })];
      plans.push(await engine.vms.planCreate({ ...request, name }));
      const vm: Vm = JSON.parse(await engine.vms.create({ ...request, name }));
      const made = [vm.mac_address, vm.ip_address, vm.kernel_cmdline];
      for (const { mac_address, ip_address, kernel_cmdline, actions } of plans) {
        assert.deepEqual([mac_address, ip_address, kernel_cmdline], made);
        const tap = actions.find(({ action }) => action === 'create.tap')?.subject ?? '';
        assert.ok(world.host.taps.has(tap), tap);
      }
    }
  });

  test('does not end the rest of an address', async () => {
    const world = newWorld();
    // Two addresses for guests: the second VM gets the one that rests, since there is no other.
    const settings = { VOLANT_SUBNET: '10.1.1.0/30', VOLANT_HOST_IP: '10.1.1.1' };
    const { engine } = await engineOn(world, settings);
    await engine.vms.create(request);
    await engine.vms.destroy('web');
    const { ip_address } = await engine.vms.planCreate(request);
    assert.equal((await engine.vms.planCreate(request)).ip_address, ip_address);
    const wanted = { ...request, config: { network: { ip_address: '10.1.1.1' } } };
    await assert.rejects(engine.vms.planCreate(wanted as never), code('BODY_INVALID'));
  });
});

suite('a VM that is removed', () => {
  test('is not found, where the disk has removed it and memory has not', async () => {
    const world = newWorld();
    const { engine } = await engineOn(world);
    await engine.vms.create(request);
    const { written, release } = holdCommitsOf(world, 'VM_DELETED');
    const destroyed = engine.vms.destroy('web');
    await written;
    assert.throws(() => engine.configs.get('web'), code('VM_NOT_FOUND'));
    assert.throws(() => engine.configs.history('web'), code('VM_NOT_FOUND'));
    assert.throws(() => engine.configs.planPatch('web', { metadata: {} }), code('VM_NOT_FOUND'));
    release();
    await destroyed;
  });
});
