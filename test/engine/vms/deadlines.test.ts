// What users rely on who give a VM a deadline: it is deleted then, whatever happens in between, and not if it was prolonged.

import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { VolantError } from '../../../src/lib/errors.ts';
import type { Vm } from '../../../src/schema/vm.ts';
import { until } from '../../helpers/until.ts';
import { engineOn, leftovers, NOTHING_LEFT, newWorld, type World } from '../fakes.ts';

const QUICK = { deadlineLookMs: 5, deadlineTimerMs: 10, deadlineRetryMs: 20 };
const HOUR = 3600;

const messagesOf = ({ store }: World, type: string) =>
  store.events.filter(({ body }) => body.type === type).map(({ body }) => body.message);

async function withVm(t: TestContext, deadline_seconds?: number) {
  const world = newWorld(QUICK);
  const control = await engineOn(world);
  t.after(() => control.shutdown());
  const more = deadline_seconds === undefined ? {} : { deadline_seconds };
  const made: Vm = JSON.parse(
    await control.engine.vms.create({ name: 'one', plugin: 'hello', ...more }),
  );
  const { vms } = control.engine;
  const read = (): Vm | undefined => {
    const body = vms.get('one');
    return body === undefined ? undefined : JSON.parse(body);
  };
  const pass = (seconds: number) => {
    world.uptimeMs += seconds * 1000;
  };
  return { world, control, vms, made, read, pass };
}

/** Long enough for several looks. */
const looks = () => new Promise((resolve) => setTimeout(resolve, 100));

suite('the deadline of a VM', () => {
  test('is shown, and nothing is left of the VM when it has passed', async (t) => {
    const { world, vms, made, read, pass } = await withVm(t, HOUR);
    const { deadline = '', created_at: createdAt } = made;
    assert.equal(Date.parse(deadline) - Date.parse(createdAt), HOUR * 1000);
    pass(HOUR - 60);
    await looks();
    assert.equal(read()?.deadline, deadline);
    pass(60);
    await until('it is gone', () => read() === undefined);
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
    assert.deepEqual(messagesOf(world, 'VM_DELETING'), [`Its deadline has passed: ${deadline}`]);
    await assert.rejects(async () => vms.operations('one'), { code: 'VM_NOT_FOUND' });
  });

  test('can be set later, prolonged and taken away', async (t) => {
    const { world, vms, made, read, pass } = await withVm(t);
    assert.equal(made.deadline, undefined);
    await vms.setDeadline('one', 60);
    const prolonged: Vm = JSON.parse(await vms.setDeadline('one', 2 * HOUR));
    assert.equal(read()?.deadline, prolonged.deadline);
    pass(HOUR);
    await looks();
    assert.equal(read()?.status, 'running');
    await vms.setDeadline('one', null);
    assert.equal(read()?.deadline, undefined);
    pass(2 * HOUR);
    await looks();
    assert.equal(read()?.status, 'running');
    assert.equal(messagesOf(world, 'VM_DEADLINE_CHANGED').length, 3);
    await vms.setDeadline('one', null);
    assert.equal(messagesOf(world, 'VM_DEADLINE_CHANGED').length, 3, 'nothing has changed');
    await vms.setDeadline('one', 1);
    pass(2);
    await until('it is gone', () => read() === undefined);
    await assert.rejects(vms.setDeadline('one', 60), { code: 'VM_NOT_FOUND' });
  });

  test('counts for a VM that is stopped, and while no daemon runs', async (t) => {
    const { world, control, vms, pass } = await withVm(t, HOUR);
    await vms.stop('one');
    await control.shutdown();
    pass(2 * HOUR);
    const next = await engineOn(world);
    t.after(() => next.shutdown());
    await until('it is gone', () => next.engine.vms.get('one') === undefined);
    assert.deepEqual(leftovers(world), NOTHING_LEFT);
  });

  test('is where it was when the clock of the host is set, also for the next daemon', async (t) => {
    const { world, control, pass } = await withVm(t, HOUR);
    world.clockSetByMs = 2 * HOUR * 1000;
    await looks();
    await control.shutdown();
    const next = await engineOn(world);
    t.after(() => next.shutdown());
    await looks();
    assert.ok(next.engine.vms.get('one'));
    world.clockSetByMs = -2 * HOUR * 1000;
    pass(HOUR);
    await until('it is gone', () => next.engine.vms.get('one') === undefined);
  });

  test('outlives a boot of the host, by its time of day', async (t) => {
    const { world, control } = await withVm(t, HOUR);
    await control.shutdown();
    Object.assign(world, { bootId: 'next', clockSetByMs: 1800 * 1000 });
    const next = await engineOn(world);
    t.after(() => next.shutdown());
    await looks();
    assert.ok(next.engine.vms.get('one'));
    world.clockSetByMs = HOUR * 1000;
    await until('it is gone', () => next.engine.vms.get('one') === undefined);
  });

  test('is tried again when the records could not be written', async (t) => {
    const { world, read, pass } = await withVm(t, HOUR);
    let refusals = 3;
    world.store.beforeCommit = (events) => {
      if (refusals === 0 || events[0]?.type !== 'VM_DELETING') return;
      refusals -= 1;
      throw new VolantError('STORE_UNAVAILABLE');
    };
    pass(HOUR);
    await until('it is gone', () => read() === undefined);
    assert.equal(refusals, 0);
  });

  test('that is prolonged at the last moment does not delete the VM', async (t) => {
    const { world, vms, read, pass } = await withVm(t, HOUR);
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { commit } = world.store;
    world.store.commit = async (writes, events) => {
      if (events[0]?.type === 'VM_DEADLINE_CHANGED') await held;
      return commit.call(world.store, writes, events);
    };
    const prolonging = vms.setDeadline('one', 3 * HOUR);
    // The looks see the old deadline pass while the new one is being written.
    pass(HOUR);
    await looks();
    release();
    await prolonging;
    await looks();
    assert.equal(read()?.status, 'running');
  });

  test('cannot be changed while the VM is being deleted', async (t) => {
    const { world, vms } = await withVm(t);
    world.host.failures.set('removeTap', new VolantError('HOST_OPERATION_FAILED'));
    const deleted = vms.destroy('one');
    await until('the delete has begun', () => messagesOf(world, 'VM_DELETING').length === 1);
    await assert.rejects(vms.setDeadline('one', 60), { code: 'VM_STATE_CONFLICT' });
    world.host.failures.clear();
    await deleted;
  });
});
