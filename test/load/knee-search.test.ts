// load, run: the search for the highest rate, against servers whose limit is known.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findKnee, type TryResult } from '../../src/load/run/knee-search.ts';

const BOUNDS = { fromPerSecond: 10, toPerSecond: 5_000, precision: 0.05 };

async function search(limit: number, bounds = BOUNDS) {
  const tries: number[] = [];
  const found = await findKnee(bounds, async (rate): Promise<TryResult> => {
    tries.push(rate);
    return rate <= limit ? 'held' : 'failed';
  });
  return { ...found, tries };
}

test('the highest rate is found between one that held and one that failed', async () => {
  for (const limit of [1, 9.5, 10, 37, 333, 4_000]) {
    const { highestHeldPerSecond: held, lowestFailedPerSecond: failed } = await search(limit);
    assert.ok(held !== null && failed !== null);
    assert.ok(held <= limit && limit < failed, `${held} <= ${limit} < ${failed}`);
    assert.ok(failed / held <= 1.051, `${failed} / ${held}`);
  }
});

test('the search ends where nothing holds, and where all holds', async () => {
  const nothing = await search(0);
  assert.equal(nothing.highestHeldPerSecond, null);
  assert.ok(nothing.tries.length <= 8);
  const all = await search(1e9);
  assert.equal(all.highestHeldPerSecond, 5_000);
  assert.equal(all.lowestFailedPerSecond, null);
});

test('a try that says nothing ends the search', async () => {
  const found = await findKnee(BOUNDS, async (rate) => (rate > 30 ? 'unsure' : 'held'));
  assert.equal(found.highestHeldPerSecond, 20);
  assert.match(found.end, /40\/s says nothing/);
});
