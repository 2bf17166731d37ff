// load, measure: a histogram of latencies with bounded memory and bounded relative error, after the idea of HdrHistogram:
// buckets are linear within each power of two. Histograms of several processes add up to the histogram of all values.

import type { LatencySummary } from '../report/run-report.ts';

/**
 * A power of two has this many buckets, so a bucket is at most 1/128 of its values wide, and its middle differs from each of
 * them by at most 1/256 (0.4 %). Below 256 microseconds each bucket is one microsecond.
 */
const BUCKETS_PER_DOUBLING = 128;
const BITS = 7;
/** Longer ones count as this: 2^40 microseconds are 12 days. */
const MICROSECONDS_MAX = 2 ** 40;

/** A histogram as it crosses processes. */
export interface HistogramData {
  /** Number of a bucket and its count, in turn. */
  readonly buckets: readonly number[];
  readonly sumMs: number;
  readonly minMs: number;
  readonly maxMs: number;
}

export class Histogram {
  readonly #buckets = new Map<number, number>();
  #count = 0;
  #sumMs = 0;
  #minMs = Number.POSITIVE_INFINITY;
  #maxMs = 0;

  static from(data: HistogramData): Histogram {
    const histogram = new Histogram();
    histogram.add(data);
    return histogram;
  }

  get count(): number {
    return this.#count;
  }

  /** A negative latency counts as 0. */
  record(latencyMs: number): void {
    const valueMs = Math.max(0, latencyMs);
    const bucket = bucketOf(Math.min(Math.round(valueMs * 1000), MICROSECONDS_MAX));
    this.#buckets.set(bucket, (this.#buckets.get(bucket) ?? 0) + 1);
    this.#count += 1;
    this.#sumMs += valueMs;
    this.#minMs = Math.min(this.#minMs, valueMs);
    this.#maxMs = Math.max(this.#maxMs, valueMs);
  }

  add({ buckets, sumMs, minMs, maxMs }: HistogramData): void {
    if (buckets.length === 0) return;
    for (let at = 0; at < buckets.length; at += 2) {
      const [bucket = 0, count = 0] = [buckets[at], buckets[at + 1]];
      this.#buckets.set(bucket, (this.#buckets.get(bucket) ?? 0) + count);
      this.#count += count;
    }
    this.#sumMs += sumMs;
    this.#minMs = Math.min(this.#minMs, minMs);
    this.#maxMs = Math.max(this.#maxMs, maxMs);
  }

  data(): HistogramData {
    return {
      buckets: [...this.#buckets].flat(),
      sumMs: this.#sumMs,
      minMs: this.#count === 0 ? 0 : this.#minMs,
      maxMs: this.#maxMs,
    };
  }

  /**
   * The smallest value that at least this share of all values does not exceed (nearest rank), within 0.4 % or half a
   * microsecond. undefined without values.
   */
  percentileMs(percent: number): number | undefined {
    return this.#atRanks([percent])[0];
  }

  summary(): LatencySummary {
    if (this.#count === 0) return NO_LATENCY;
    const [p50Ms = 0, p90Ms = 0, p99Ms = 0, p999Ms = 0] = this.#atRanks([50, 90, 99, 99.9]);
    return {
      count: this.#count,
      minMs: this.#minMs,
      meanMs: this.#sumMs / this.#count,
      p50Ms,
      p90Ms,
      p99Ms,
      p999Ms,
      maxMs: this.#maxMs,
    };
  }

  /** One walk over the buckets for percentages that grow. */
  #atRanks(percentages: readonly number[]): number[] {
    if (this.#count === 0) return [];
    const sorted = [...this.#buckets].sort(([one], [other]) => one - other);
    const values: number[] = [];
    let [at, before] = [0, 0];
    for (const percent of percentages) {
      // The product can be a little more than the whole number that is meant: 99.9 of 1000.
      const rank = Math.max(1, Math.ceil((percent / 100) * this.#count - 1e-9));
      while (before + (sorted[at]?.[1] ?? 0) < rank) {
        before += sorted[at]?.[1] ?? 0;
        at += 1;
      }
      values.push(this.#within(rank, middleMs(sorted[at]?.[0] ?? 0)));
    }
    return values;
  }

  /** The ends are known exactly, and no value lies beyond them. */
  #within(rank: number, valueMs: number): number {
    if (rank === this.#count) return this.#maxMs;
    return rank === 1 ? this.#minMs : Math.min(Math.max(valueMs, this.#minMs), this.#maxMs);
  }
}

export const NO_LATENCY: LatencySummary = {
  count: 0,
  minMs: null,
  meanMs: null,
  p50Ms: null,
  p90Ms: null,
  p99Ms: null,
  p999Ms: null,
  maxMs: null,
};

function bucketOf(microseconds: number): number {
  const shift = microseconds < 256 ? 0 : Math.floor(Math.log2(microseconds)) - BITS;
  return shift * BUCKETS_PER_DOUBLING + Math.floor(microseconds / 2 ** shift);
}

function middleMs(bucket: number): number {
  const shift = bucket < 256 ? 0 : Math.floor(bucket / BUCKETS_PER_DOUBLING) - 1;
  const lowest = (bucket - shift * BUCKETS_PER_DOUBLING) * 2 ** shift;
  return (lowest + (2 ** shift - 1) / 2) / 1000;
}
