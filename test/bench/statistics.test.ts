// bench: statistics, against figures that others have published or counted by hand.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mannWhitney, median, quantile, smallestP, spread } from '../../bench/lib/statistics.ts';

const near = (actual: number, expected: number, within: number) =>
  assert.ok(Math.abs(actual - expected) <= within, `${actual} is not ${expected}`);

test('median, quantile and spread', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.ok(Number.isNaN(median([])));
  assert.equal(quantile([5, 1, 4, 2, 3], 0.99), 5);
  assert.equal(quantile([5, 1, 4, 2, 3], 0.2), 1);
  assert.equal(spread([7]), 0);
  assert.equal(spread([8, 9, 10, 11, 12]), 0.2);
});

test('Mann-Whitney counts out small samples', () => {
  // All of the one below all of the other: 2 of the orders.
  near(mannWhitney([1, 2, 3], [4, 5, 6]).p, 2 / 20, 1e-12);
  near(mannWhitney([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]).p, 2 / 252, 1e-12);
  // R: wilcox.test(c(0.80,0.83,1.89,1.04,1.45,1.38,1.91,1.64,0.73,1.46), c(1.15,0.88,0.90,0.74,1.21)), p = 0.2544.
  const first = [0.8, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
  const second = [1.15, 0.88, 0.9, 0.74, 1.21];
  const result = mannWhitney(first, second);
  assert.equal(result.u, 35);
  near(result.p, 0.2544, 0.0001);
  assert.equal(mannWhitney(second, first).p, result.p);
});

test('Mann-Whitney with ties and with large samples uses the normal distribution', () => {
  assert.equal(mannWhitney([1, 1, 1], [1, 1, 1]).p, 1);
  // By hand: U = 2 of 25, three pairs of ties, variance 22.5, z = (10.5 - 0.5) / 4.743.
  near(mannWhitney([1, 2, 2, 3, 4], [3, 4, 5, 6, 7]).p, 0.035, 0.0005);
  const low = Array.from({ length: 60 }, (_, index) => index);
  assert.ok(
    mannWhitney(
      low,
      low.map((value) => value + 40),
    ).p < 1e-6,
  );
  assert.ok(
    mannWhitney(
      low,
      low.map((value) => value + 0.5),
    ).p > 0.5,
  );
  assert.equal(mannWhitney([], [1]).p, 1);
});

test('noise of one distribution is rarely called a difference', () => {
  let state = 1;
  const next = () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
  const sample = () => Array.from({ length: 7 }, () => 100 + next() * 20);
  const found = Array.from({ length: 1_000 }, () => mannWhitney(sample(), sample()).p < 0.01);
  assert.ok(found.filter(Boolean).length <= 25);
});

test('the smallest p of so many rounds', () => {
  near(smallestP(3, 3), 0.1, 1e-12);
  near(smallestP(5, 5), 2 / 252, 1e-12);
});
