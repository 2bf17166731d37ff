// load, arrivals: when something starts in each kind of phase.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  activeTimes,
  arrivalsOf,
  levelAt,
  planOf,
  type Shape,
} from '../../src/load/arrivals/plan.ts';
import { choose, randomOf } from '../../src/load/arrivals/random.ts';

const arrivals = (shape: Shape, durationMs: number) => [...arrivalsOf(planOf(shape, durationMs))];

/** Starts in each second. */
function perSecond(times: readonly number[]): number[] {
  const counts: number[] = [];
  for (const time of times) {
    const second = Math.floor(time / 1000 + 1e-9);
    counts[second] = (counts[second] ?? 0) + 1;
  }
  return Array.from(counts, (count) => count ?? 0);
}

test('a constant rate has even gaps', () => {
  assert.deepEqual(arrivals({ kind: 'constant', level: 4 }, 1000), [0, 250, 500, 750]);
  assert.deepEqual(arrivals({ kind: 'soak', level: 0 }, 1000), []);
});

test('steps, ramps and spikes have the starts that their rates ask for', () => {
  const steps = arrivals({ kind: 'step', levels: [1, 5, 0, 2] }, 8_000);
  assert.deepEqual(perSecond(steps), [1, 1, 5, 5, 0, 0, 2, 2]);
  const spike = { kind: 'spike', base: 2, peak: 20, peakAfterMs: 1000, peakMs: 1000 } as const;
  assert.deepEqual(perSecond(arrivals(spike, 3_000)), [2, 20, 2]);
  const ramp = arrivals({ kind: 'ramp', from: 0, to: 100 }, 10_000);
  assert.equal(ramp.length, 500);
  // Start k is due when t * t / 200 seconds have asked for k starts.
  for (const [index, atMs] of ramp.entries()) {
    assert.ok(Math.abs(atMs - Math.sqrt(index / 5) * 1000) < 1e-6);
  }
  assert.equal(arrivals({ kind: 'ramp', from: 100, to: 0 }, 10_000).length, 500);
});

test('Poisson arrivals have the rate, the variance and the seed of a Poisson process', () => {
  const plan = planOf({ kind: 'poisson', level: 50 }, 400_000);
  const times = [...arrivalsOf(plan, randomOf(1, 2))];
  const counts = perSecond(times);
  const mean = times.length / 400;
  const variance = counts.reduce((sum, count) => sum + (count - mean) ** 2, 0) / counts.length;
  assert.ok(Math.abs(mean - 50) < 2, `${mean} per second`);
  assert.ok(variance / mean > 0.75 && variance / mean < 1.25, `variance ${variance}`);
  assert.deepEqual(times, [...arrivalsOf(plan, randomOf(1, 2))]);
  assert.notDeepEqual(times.slice(0, 9), [...arrivalsOf(plan, randomOf(2, 2))].slice(0, 9));
});

test('a user is active while the level is above its number', () => {
  const ramp = planOf({ kind: 'ramp', from: 0, to: 4 }, 4_000);
  assert.deepEqual(activeTimes(ramp, 0), [{ fromMs: 0, toMs: 4_000 }]);
  assert.deepEqual(activeTimes(ramp, 3), [{ fromMs: 3_000, toMs: 4_000 }]);
  const spike = planOf({ kind: 'spike', base: 1, peak: 3, peakAfterMs: 100, peakMs: 200 }, 500);
  assert.deepEqual(activeTimes(spike, 0), [{ fromMs: 0, toMs: 500 }]);
  assert.deepEqual(activeTimes(spike, 2), [{ fromMs: 100, toMs: 300 }]);
  assert.deepEqual(activeTimes(spike, 3), []);
  assert.deepEqual([levelAt(spike, 99), levelAt(spike, 100), levelAt(spike, 600)], [1, 3, 0]);
});

test('a choice follows the weights, and the seed alone', () => {
  const items = [
    { name: 'a', weight: 3 },
    { name: 'b', weight: 1 },
  ];
  const random = randomOf(99);
  const draws = Array.from({ length: 4_000 }, () => choose(items, random)?.name);
  const share = draws.filter((name) => name === 'a').length / draws.length;
  assert.ok(Math.abs(share - 0.75) < 0.04, `${share}`);
  const again = randomOf(99);
  assert.deepEqual(
    draws,
    draws.map(() => choose(items, again)?.name),
  );
});
