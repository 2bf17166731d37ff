// test helpers: percentiles by sorting, to compare a histogram with.

import assert from 'node:assert/strict';

/** The smallest value that at least this share of all does not exceed. */
export function nearestRank(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  const rank = Math.max(1, Math.ceil((percent / 100) * sorted.length - 1e-9));
  return sorted[rank - 1] ?? Number.NaN;
}

/** Within the error that a histogram promises. */
export function assertNear(actual: number | null | undefined, expected: number): void {
  const error = Math.abs((actual ?? Number.NaN) - expected);
  assert.ok(error <= expected / 256 + 0.000_51, `${actual} is near ${expected}`);
}
