// load, measure: percentiles of the histogram against arithmetic on all values, and the sum of histograms.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomOf } from '../../src/load/arrivals/random.ts';
import { Histogram } from '../../src/load/measure/histogram.ts';
import { Tally } from '../../src/load/measure/tally.ts';
import { assertNear, nearestRank } from './arithmetic.ts';

/** From below a microsecond to hours. */
function spread(seed: number, count: number): number[] {
  const random = randomOf(seed);
  return Array.from({ length: count }, () => 10 ** (random() * 11 - 4));
}

test('percentiles are those of nearest rank, within 0.4 % or half a microsecond', () => {
  for (const count of [1, 2, 3, 10, 99, 100, 1000, 10_007]) {
    const values = spread(count, count);
    const histogram = new Histogram();
    for (const value of values) histogram.record(value);
    for (const percent of [0, 1, 50, 90, 99, 99.9, 100]) {
      assertNear(histogram.percentileMs(percent), nearestRank(values, percent));
    }
    const { minMs, maxMs, meanMs } = histogram.summary();
    assert.deepEqual([minMs, maxMs], [Math.min(...values), Math.max(...values)]);
    const mean = values.reduce((sum, value) => sum + value, 0) / count;
    assert.ok(Math.abs((meanMs ?? 0) - mean) <= mean * 1e-9);
  }
});

test('histograms of several processes add up to the histogram of all values', () => {
  const values = spread(7, 5_000);
  const parts = [new Histogram(), new Histogram(), new Histogram()];
  const whole = new Histogram();
  for (const [index, value] of values.entries()) {
    parts[index % 3]?.record(value);
    whole.record(value);
  }
  const merged = new Histogram();
  // As it crosses the channel between processes.
  for (const part of parts) merged.add(JSON.parse(JSON.stringify(part.data())));
  merged.add(new Histogram().data());
  const { meanMs, ...exact } = whole.summary();
  const { meanMs: mergedMeanMs, ...mergedExact } = merged.summary();
  assert.deepEqual(mergedExact, exact);
  assertNear(mergedMeanMs ?? 0, meanMs ?? 1);
});

test('without values there are no figures', () => {
  const { count, minMs, p99Ms, maxMs } = new Histogram().summary();
  assert.deepEqual([count, minMs, p99Ms, maxMs], [0, null, null, null]);
});

test('refusals, errors and skipped starts are counted apart, and codes have a bound', () => {
  const tally = new Tally();
  tally.record({ kind: 'succeeded' }, 5);
  tally.record({ kind: 'refused', code: 'OVERLOADED' }, 1);
  tally.recordSkipped('IN_FLIGHT');
  for (let number = 0; number < 100; number += 1) {
    tally.record({ kind: 'failed', code: `CODE_${number}`, message: 'no' }, 1);
  }
  const report = tally.report('create', 'step', 2_000);
  assert.equal(report.count, 102);
  assert.deepEqual(report.refusals, { total: 1, byCode: { OVERLOADED: 1 } });
  assert.deepEqual(report.skipped, { total: 1, byCode: { IN_FLIGHT: 1 } });
  assert.equal(report.errors.total, 100);
  assert.equal(report.errors.byCode['OTHER'], 36);
  assert.equal(report.ratePerSecond, 0.5);
});
