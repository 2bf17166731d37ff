// load, report: what is measured of an operation, under the names that thresholds and comparisons of runs use.

import type { OperationReport, ThresholdReport } from './run-report.ts';

export type MeasureUnit = ThresholdReport['unit'];

/** Every measure with its unit. */
export const MEASURES = {
  min: 'ms',
  mean: 'ms',
  p50: 'ms',
  p90: 'ms',
  p99: 'ms',
  'p99.9': 'ms',
  max: 'ms',
  errors: 'share',
  refusals: 'share',
  skipped: 'share',
  count: 'count',
  rate: 'per_second',
} as const satisfies Readonly<Record<string, MeasureUnit>>;

export type Measure = keyof typeof MEASURES;

/**
 * The value of a measure in its unit. With `unit` count, what has the unit share is a number of operations. null: there was
 * nothing to measure.
 */
export function measureOf(
  { count, latency, errors, refusals, skipped, ratePerSecond }: OperationReport,
  measure: Measure,
  unit: MeasureUnit = MEASURES[measure],
): number | null {
  const share = (part: number, whole: number) => {
    if (unit === 'count') return part;
    return whole === 0 ? null : part / whole;
  };
  switch (measure) {
    case 'min':
      return latency.minMs;
    case 'mean':
      return latency.meanMs;
    case 'p50':
      return latency.p50Ms;
    case 'p90':
      return latency.p90Ms;
    case 'p99':
      return latency.p99Ms;
    case 'p99.9':
      return latency.p999Ms;
    case 'max':
      return latency.maxMs;
    case 'errors':
      return share(errors.total, count);
    case 'refusals':
      return share(refusals.total, count);
    case 'skipped':
      return share(skipped.total, count + skipped.total);
    case 'count':
      return count;
    case 'rate':
      return ratePerSecond;
  }
}
