// test, engine, conditions: what a complete check of the network says about each VM.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConditionKeeper } from '../../../src/engine/conditions/condition-keeper.ts';
import type { VmRecord } from '../../../src/engine/records.ts';
import type { State } from '../../../src/engine/state/state.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { vmRecord } from '../../store/vm-record.ts';
import { silentLog } from '../fakes.ts';

const VMS = 120;

const running = (id: number, pid = id): VmRecord =>
  vmRecord(id, { process: { pid, startTimeTicks: 1, bootId: 'boot' } });

/** VMs that run, by id. `records` may be changed while a check is recorded. */
function createKept() {
  const records = new Map(
    Array.from({ length: VMS }, (_, index) => [index + 1, running(index + 1)]),
  );
  const state = {
    find: (id: number) => records.get(id),
    update: async () => undefined,
    vms: { active: () => [...records.values()], observe: () => undefined },
  } as unknown as State;
  const keeper = new ConditionKeeper({ state, clock: systemClock, log: silentLog });
  return { records, keeper };
}

test('the network of a VM differs as the check says, and that of all others is as wanted', async () => {
  const { keeper } = createKept();
  await keeper.observeNetwork(new Map([[2, ['its network card is gone']]]));
  assert.deepEqual(keeper.observationOf(1)?.network, []);
  assert.deepEqual(keeper.observationOf(2)?.network, ['its network card is gone']);
  assert.deepEqual(keeper.observationOf(VMS)?.network, []);
});

test('a check says nothing about a hypervisor that was started or has ended since', async () => {
  const { records, keeper } = createKept();
  const recorded = keeper.observeNetwork(new Map([[VMS, ['its network card is gone']]]));
  // Nothing is recorded before the event loop turns.
  records.set(VMS, running(VMS, 9_999));
  records.delete(VMS - 1);
  await recorded;
  assert.deepEqual(keeper.observationOf(1)?.network, []);
  assert.equal(keeper.observationOf(VMS), undefined);
  assert.equal(keeper.observationOf(VMS - 1), undefined);
});
