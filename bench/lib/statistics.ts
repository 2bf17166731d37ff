// bench: numbers from samples. Knows nothing of what was measured.

/** The middle one; of an even count the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** The value below which a share of the samples lies (nearest rank). */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const rank = Math.max(1, Math.ceil(share * sorted.length));
  return sorted[rank - 1] ?? Number.NaN;
}

/** The distance between the quartiles as a share of the median; 0 of a single sample. */
export function spread(values: readonly number[]): number {
  const middle = median(values);
  if (values.length < 2 || middle === 0) return 0;
  return (quantile(values, 0.75) - quantile(values, 0.25)) / Math.abs(middle);
}

export interface RankTest {
  /** Pairs in which the first sample is larger; a tie counts half. */
  readonly u: number;
  /** Two-sided: how likely a difference of at least this size is when both come from one distribution. */
  readonly p: number;
}

/** Pairs up to which the distribution of U is counted out; above, the normal distribution is near enough. */
const EXACT_PAIRS_MAX = 400;

/**
 * The test of Mann and Whitney (H. B. Mann, D. R. Whitney: On a test of whether one of two random variables is
 * stochastically larger than the other. Annals of Mathematical Statistics 18, 1947, 50 to 60). It compares ranks, so it
 * needs no assumption about the shape of the noise. Exact without ties; else the normal distribution with the
 * corrections for ties and for continuity.
 */
export function mannWhitney(first: readonly number[], second: readonly number[]): RankTest {
  const pairs = first.length * second.length;
  let u = 0;
  for (const a of first) for (const b of second) u += a > b ? 1 : a === b ? 0.5 : 0;
  if (pairs === 0) return { u, p: 1 };
  const all = [...first, ...second];
  const hasTies = new Set(all).size < all.length;
  const isExact = !hasTies && pairs <= EXACT_PAIRS_MAX;
  const p = isExact
    ? exactP(Math.min(u, pairs - u), first.length, second.length)
    : normalP(u, first.length, second.length, tieTerm(all));
  return { u, p: Math.min(1, p) };
}

/** The smallest p that so many samples can lead to: too few of them cannot show a difference. */
export function smallestP(first: number, second: number): number {
  return Math.min(1, exactP(0, first, second));
}

/** Twice the share of the orders of both samples with at most this U. */
function exactP(u: number, first: number, second: number): number {
  const counts = ordersByU(first, second);
  const all = counts.reduce((sum, count) => sum + count, 0);
  const upTo = counts.slice(0, u + 1).reduce((sum, count) => sum + count, 0);
  return (2 * upTo) / all;
}

/** How many orders of the samples have each U: the coefficients of the Gaussian binomial. */
function ordersByU(first: number, second: number): readonly number[] {
  const length = first * second + 1;
  let counts = new Array<number>(length).fill(0);
  counts[0] = 1;
  for (let at = 1; at <= second; at += 1) {
    // Times (1 - q^(first+at)), then divided by (1 - q^at).
    const product = counts.map((count, u) => count - (counts[u - first - at] ?? 0));
    for (let u = at; u < length; u += 1) product[u] = (product[u] ?? 0) + (product[u - at] ?? 0);
    counts = product;
  }
  return counts;
}

function tieTerm(values: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts.values()].reduce((sum, count) => sum + count ** 3 - count, 0);
}

function normalP(u: number, first: number, second: number, ties: number): number {
  const all = first + second;
  const variance = ((first * second) / 12) * (all + 1 - ties / (all * (all - 1)));
  if (variance <= 0) return 1;
  const distance = Math.max(0, Math.abs(u - (first * second) / 2) - 0.5);
  return 2 * upperTail(distance / Math.sqrt(variance));
}

/** Of the normal distribution, by formula 26.2.17 of Abramowitz and Stegun: right to seven digits. */
function upperTail(z: number): number {
  const t = 1 / (1 + 0.2316419 * z);
  const factors = [0.31938153, -0.356563782, 1.781477937, -1.821255978, 1.330274429];
  const sum = factors.reduceRight((rest, factor) => (rest + factor) * t, 0);
  return (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * sum;
}
