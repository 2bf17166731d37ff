// What VMs may take of their host together: who asks for more is refused with the figures and leaves nothing, however many
// ask at once; what runs is never ended for it, and a deployment waits for room instead of trying.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../../../src/config/limits.ts';
import { limitsOf, refusalOf } from '../../../src/engine/budget/rules.ts';
import type { EngineControl } from '../../../src/engine/engine.ts';
import { VolantError } from '../../../src/lib/errors.ts';
import { until } from '../../helpers/until.ts';
import { engineOn, leftovers, NOTHING_LEFT, newWorld, type World } from '../fakes.ts';

const COST = LIMITS.hypervisorCostMb;

/** A host with room for so many VMs of 1,000 MiB. */
async function withRoomFor(count: number): Promise<{ world: World; control: EngineControl }> {
  const world = newWorld();
  world.host.hostSize = { memoryMb: count * (1000 + COST) + 100, cpuCores: 4 };
  return { world, control: await engineOn(world, SETTINGS) };
}

const SETTINGS = { VOLANT_MEMORY_OVERCOMMIT: '1', VOLANT_MEMORY_RESERVE_MB: '100' };
const vm = (name: string, memory_mb = 1000) => ({ name, plugin: 'hello', memory_mb });
const statusOf = ({ engine }: EngineControl, name: string) =>
  JSON.parse(engine.vms.get(name) ?? '{}').status;
const usedMb = async ({ engine }: EngineControl) =>
  (await engine.system.status()).budget.memory_used_mb;
const codesOf = (results: readonly PromiseSettledResult<unknown>[]) =>
  results.flatMap((result) =>
    result.status === 'rejected' ? [(result.reason as VolantError).code] : [],
  );

suite('what VMs may have', () => {
  const settings = {
    memoryOvercommit: 1.5,
    memoryReserveMb: 512,
    cpuOvercommit: 2,
    countsSimulator: false,
  };
  const host = { memoryMb: 23_000, cpuCores: 2 };
  const question = {
    size: { memoryMb: 20_480, cpuCores: 1 },
    own: { memoryMb: 0, cpuCores: 0 },
    used: { memoryMb: 0, cpuCores: 0 },
    host,
    settings,
  };

  test('is the memory of the host times a factor less a reserve, and its cores times another', () => {
    assert.deepEqual(limitsOf(host, settings), { memoryMb: 33_988, cpuCores: 4 });
    const none = { ...settings, memoryOvercommit: 0, cpuOvercommit: 0 };
    assert.deepEqual(limitsOf(host, none), { memoryMb: Infinity, cpuCores: Infinity });
    assert.equal(limitsOf({ memoryMb: 100, cpuCores: 1 }, settings).memoryMb, 0);
  });

  test('is reported with its figures where a VM does not fit', () => {
    assert.equal(refusalOf(question), null);
    const second = refusalOf({ ...question, used: { memoryMb: 20_480 + COST, cpuCores: 1 } });
    assert.equal(second?.code, 'MEMORY_EXHAUSTED');
    assert.match(second?.message ?? '', /20528 MiB, other VMs have 20528 of the 33988 MiB/);
    assert.match(second?.message ?? '', /VOLANT_MEMORY_OVERCOMMIT/);
    assert.deepEqual(second?.details, {
      asked_mb: '20528',
      used_mb: '20528',
      limit_mb: '33988',
    });
    const size = { memoryMb: 64, cpuCores: 5 };
    assert.equal(refusalOf({ ...question, size })?.code, 'CPU_EXHAUSTED');
  });

  test('is never less than what a VM has already', () => {
    const own = { memoryMb: 20_480 + COST, cpuCores: 1 };
    const used = { memoryMb: 90_000, cpuCores: 1 };
    assert.equal(refusalOf({ ...question, own, used }), null);
    const larger = { memoryMb: 20_481, cpuCores: 1 };
    assert.equal(refusalOf({ ...question, own, used, size: larger })?.code, 'MEMORY_EXHAUSTED');
  });
});

suite('a VM for which there is no room', () => {
  test('is refused, and leaves nothing; its dry run says so, too', async () => {
    const { world, control } = await withRoomFor(1);
    const { vms } = control.engine;
    await assert.rejects(vms.planCreate(vm('a', 1200)), { code: 'MEMORY_EXHAUSTED' });
    await assert.rejects(vms.create(vm('a', 1200)), { code: 'MEMORY_EXHAUSTED' });
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
    await vms.create(vm('a'));
    assert.equal(await usedMb(control), 1000 + COST);
    await vms.destroy('a');
    assert.equal(await usedMb(control), 0);
    await control.shutdown();
  });

  test('is refused whatever is asked for at once', async () => {
    const { control } = await withRoomFor(3);
    const names = Array.from({ length: 10 }, (_, index) => `vm-${index}`);
    const created = await Promise.allSettled(
      names.map((name) => control.engine.vms.create(vm(name))),
    );
    assert.deepEqual(codesOf(created), Array(7).fill('MEMORY_EXHAUSTED'));
    assert.equal(await usedMb(control), 3 * (1000 + COST));
    await control.shutdown();
  });

  test('is refused at its start, and may be started when another has ended', async () => {
    const { control } = await withRoomFor(2);
    const { vms } = control.engine;
    for (const name of ['a', 'b']) {
      await vms.create(vm(name));
      await vms.stop(name);
    }
    assert.equal(await usedMb(control), 0);
    await Promise.all([vms.create(vm('c')), vms.start('a')]);
    await assert.rejects(vms.start('b'), { code: 'MEMORY_EXHAUSTED' });
    assert.equal(statusOf(control, 'b'), 'stopped');
    await vms.stop('c');
    const started = await Promise.allSettled([vms.start('b'), vms.start('c')]);
    assert.deepEqual(codesOf(started), ['MEMORY_EXHAUSTED']);
    await control.shutdown();
  });

  test('of a create that fails later takes nothing', async () => {
    const { world, control } = await withRoomFor(1);
    world.host.failures.set('launch', new VolantError('HYPERVISOR_FAILED'));
    await assert.rejects(control.engine.vms.create(vm('a')), { code: 'HYPERVISOR_FAILED' });
    world.host.failures.clear();
    assert.equal(await usedMb(control), 0);
    await control.engine.vms.create(vm('b'));
    await control.shutdown();
  });
});

suite('a VM that runs', () => {
  test('may be restarted with what it has, and with more only where there is room', async () => {
    const { world, control } = await withRoomFor(2);
    const { vms, configs } = control.engine;
    await Promise.all([vms.create(vm('a')), vms.create(vm('b'))]);
    await configs.patch('a', { resources: { memory_mb: 1500 } });
    await assert.rejects(vms.restart('a'), { code: 'MEMORY_EXHAUSTED' });
    assert.equal(statusOf(control, 'a'), 'running', 'nobody has ended it');
    await vms.destroy('b');
    await vms.restart('a');
    assert.equal(await usedMb(control), 1500 + COST);
    world.host.hostSize = { memoryMb: 200, cpuCores: 1 };
    await vms.restart('a');
    await assert.rejects(vms.create(vm('c', 100)), { code: 'MEMORY_EXHAUSTED' });
    await control.shutdown();
  });

  test('is adopted on a host that has become too small, and counts', async () => {
    const { world, control } = await withRoomFor(2);
    await Promise.all(['a', 'b'].map((name) => control.engine.vms.create(vm(name))));
    await control.shutdown();
    world.host.hostSize = { memoryMb: 1000, cpuCores: 1 };
    const second = await engineOn(world, SETTINGS);
    assert.deepEqual([statusOf(second, 'a'), statusOf(second, 'b')], ['running', 'running']);
    assert.equal(await usedMb(second), 2 * (1000 + COST));
    await second.shutdown();
  });
});

suite('a deployment without room', () => {
  const web = (replicas: number, memory_mb = 1000) => ({
    name: 'web',
    replicas,
    config: { plugin: 'hello', resources: { memory_mb } },
  });
  const degraded = ({ engine }: EngineControl) =>
    engine.deployments.get('web').conditions.find(({ type }) => type === 'Degraded');

  test('has the replicas that fit, says why, tries nothing, and continues when room comes', async () => {
    const { world, control } = await withRoomFor(3);
    const { vms, deployments } = control.engine;
    await vms.create(vm('other'));
    const made = await deployments.create(web(4));
    assert.equal(made.ready_replicas, 2);
    assert.equal(degraded(control)?.reason, 'NoRoom');
    assert.match(degraded(control)?.message ?? '', /VOLANT_MEMORY_OVERCOMMIT/);
    const launches = world.host.launches.length;
    const events = world.store.events.length;
    await pause(100);
    assert.equal(world.host.launches.length, launches);
    assert.equal(world.store.events.length, events, 'nothing is told again and again');
    await vms.destroy('other');
    await until('a third replica', () => deployments.get('web').ready_replicas === 3);
    assert.equal(degraded(control)?.reason, 'NoRoom');
    await deployments.patch('web', { replicas: 3 });
    await until('all is well', () => degraded(control)?.reason === 'Healthy');
    await control.shutdown();
  });

  test('does not take a replica away for a larger one that would not fit', async () => {
    const { control } = await withRoomFor(2);
    const { deployments } = control.engine;
    await deployments.create(web(2));
    const { config } = web(2, 1900);
    const rolled = await deployments.patch('web', { config });
    assert.equal(rolled.ready_replicas, 2);
    assert.equal(degraded(control)?.reason, 'NoRoom');
    await deployments.patch('web', { replicas: 1 });
    await until('it is rolled out', () => {
      const { ready_replicas, conditions } = deployments.get('web');
      return ready_replicas === 1 && conditions.some(({ reason }) => reason === 'Complete');
    });
    assert.equal(await usedMb(control), 1900 + COST);
    await control.shutdown();
  });
});
