// bench: rounds: what is measured again, what is refused and with which reason.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Sample } from '../../bench/lib/machine.ts';
import { inRounds, inTurn, type Round } from '../../bench/lib/rounds.ts';

const AIM = { atLeast: 0.9 };

/** A machine of two processors on which each round takes a second, with shares for others and its host. */
function machine(rounds: readonly { readonly others?: number; readonly steal?: number }[]) {
  let now = { processors: 2, userTicks: 0, stealTicks: 0, ownUserTicks: 0, atMs: 0 };
  let reads = 0;
  return (): Sample => {
    const isAfter = reads % 2 === 1;
    const { others = 0, steal = 0 } = rounds[reads >> 1] ?? {};
    reads += 1;
    if (!isAfter) return now;
    now = {
      ...now,
      userTicks: now.userTicks + 50 + others * 200,
      ownUserTicks: now.ownUserTicks + 50,
      stealTicks: now.stealTicks + steal * 200,
      atMs: now.atMs + 1000,
    };
    return now;
  };
}

const figures = (ours: number, bound: number, generator = 0.5): Round => ({
  read: { ours: { value: ours, generator }, bound: { value: bound, generator } },
});

const rowOf = async (
  wanted: number,
  sample: () => Sample,
  measure: (index: number) => Round,
  evenIfBusy = false,
) => {
  const rounds = await inRounds(wanted, async (index) => measure(index), { sample, evenIfBusy });
  return rounds.row('read', 'GET', 'requests/s', 'bare', AIM);
};

test('quiet rounds are counted, and no more than are wanted', async () => {
  const row = await rowOf(3, machine([]), (index) => figures(index + 1, 10));
  assert.deepEqual(row.ours, [1, 2, 3]);
  assert.deepEqual(row.bound, [10, 10, 10]);
  assert.equal(row.refusal, null);
});

test('a round on a busy machine is measured again and not counted', async () => {
  const sample = machine([{}, { others: 0.3 }, {}, {}]);
  const row = await rowOf(3, sample, (index) => figures(index + 1, 10));
  assert.deepEqual(row.ours, [1, 3, 4]);
  assert.equal(row.refusal, null);
});

test('a row is refused when other programs or the host kept the machine busy', async () => {
  const busy = machine(Array.from({ length: 9 }, () => ({ others: 0.25, steal: 0.02 })));
  const row = await rowOf(4, busy, () => figures(1, 1));
  assert.match(
    row.refusal ?? '',
    /busy: 0 of 6 rounds were quiet, 4 are needed; .* had 25 % .* took 2.0 %/,
  );
  const stolen = machine(Array.from({ length: 9 }, () => ({ steal: 0.1 })));
  assert.match((await rowOf(2, stolen, () => figures(1, 1))).refusal ?? '', /took 10 %/);
});

test('a row is refused when its generator had no time left on either side', async () => {
  const row = await rowOf(3, machine([]), () => ({
    read: { ours: { value: 9, generator: 0.8 }, bound: { value: 10, generator: 0.99 } },
  }));
  assert.match(row.refusal ?? '', /generator was the bottleneck: it had 99 %/);
});

test('a row is refused when what it needs beside it did not happen in most rounds', async () => {
  const withReason = (refusal: string | null): Round => ({
    read: { ours: { value: 1, refusal }, bound: { value: 1 } },
  });
  const most = await rowOf(3, machine([]), (index) => withReason(index > 0 ? 'too few' : null));
  assert.equal(most.refusal, 'too few');
  const one = await rowOf(3, machine([]), (index) => withReason(index > 1 ? 'too few' : null));
  assert.equal(one.refusal, null);
});

test('work on the benchmarks counts busy rounds as well', async () => {
  const busy = machine(Array.from({ length: 9 }, () => ({ others: 0.9 })));
  const row = await rowOf(2, busy, () => figures(1, 1, 1), true);
  assert.deepEqual([row.ours.length, row.refusal], [2, null]);
});

test('ours and the bound take turns at being first', async () => {
  const order: string[] = [];
  const note = (side: string) => async () => order.push(side);
  for (const index of [0, 1, 2]) await inTurn(index, note('ours'), note('bound'));
  assert.deepEqual(order, ['ours', 'bound', 'bound', 'ours', 'ours', 'bound']);
});
