// What a start of the daemon is promised whatever the host holds back: it ends within its bound, what cannot be judged
// says so, and all others continue.

import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { EngineControl } from '../../../src/engine/engine.ts';
import { VolantError } from '../../../src/lib/errors.ts';
import type { Vm } from '../../../src/schema/vm.ts';
import { until } from '../../helpers/until.ts';
import { engineOn, newWorld, preparedOn } from '../fakes.ts';

const HURRIED = { recoveryWaitMs: 200, stopKillMs: 100, stepRetryMinMs: 20, stepRetryMaxMs: 50 };

const vmOf = ({ engine }: EngineControl, name: string): Vm =>
  JSON.parse(engine.vms.get(name) ?? '{}');

const unknownReason = (vm: Vm) =>
  vm.conditions.filter(({ reason }) => reason === 'CannotBeJudged').map(({ message }) => message);

async function worldOf(...names: readonly string[]) {
  const world = newWorld(HURRIED);
  const before = await engineOn(world);
  for (const name of names) await before.engine.vms.create({ name, plugin: 'hello' });
  await before.shutdown();
  return world;
}

suite('a start of the daemon ends in time', () => {
  test('although a process cannot be judged, which its VM says until it can', async (t) => {
    const world = await worldOf('stuck', 'sound');
    world.host.failures.set('adopt 1', new VolantError('HOST_TIMEOUT', 'it does not come back'));
    const control = await engineOn(world);
    t.after(() => control.shutdown());
    assert.match(unknownReason(vmOf(control, 'stuck'))[0] ?? '', /does not come back/);
    assert.deepEqual(unknownReason(vmOf(control, 'sound')), []);
    await control.engine.vms.stop('sound');
    assert.equal(vmOf(control, 'sound').status, 'stopped');
    world.host.failures.clear();
    await until('it is judged', () => unknownReason(vmOf(control, 'stuck')).length === 0);
    const told = world.store.events.map(({ body }) => body.type);
    assert.ok(told.includes('VM_DEGRADED') && told.includes('VM_REPAIRED'));
  });

  test('although the host cannot be looked at, and new VMs are launched meanwhile', async (t) => {
    const world = await worldOf('old');
    let hangs = true;
    world.host.beforeInventory = async () => {
      if (hangs) throw new VolantError('HOST_TIMEOUT', 'nothing comes back');
    };
    const control = await engineOn(world);
    t.after(() => control.shutdown());
    assert.equal(unknownReason(vmOf(control, 'old')).length, 1);
    await control.engine.vms.create({ name: 'new', plugin: 'hello' });
    await assert.rejects(Promise.resolve(control.engine.vms.stop('old')), { code: 'HOST_TIMEOUT' });
    hangs = false;
    await until('it is stopped', () => vmOf(control, 'old').status === 'stopped');
  });

  test('although a process that nobody owns outlives SIGKILL', async (t) => {
    const world = await worldOf('gone', 'sound');
    for (const process of world.host.processes.values()) process.ignores = ['SIGKILL'];
    world.store.vms.delete(1);
    const control = await preparedOn(world);
    t.after(() => control.shutdown());
    const startedMs = performance.now();
    await control.recover();
    assert.ok(performance.now() - startedMs < 3_000);
    assert.equal(vmOf(control, 'sound').status, 'running');
    assert.ok(world.host.taps.size === 2, 'what it holds is left to the next audit');
  });
});
