// load, report: compares two runs of one scenario. One run each says nothing about noise, so a change counts only beyond a share
// that the caller names. How a comparison is shown is in compare-text.ts.

import { MEASURES, type Measure, measureOf } from './measures.ts';
import type { OperationReport, RunReport } from './run-report.ts';

/** What is compared of each operation. For `rate` more is better, for all others less. */
const COMPARED: readonly Measure[] = ['rate', 'p50', 'p90', 'p99', 'errors', 'refusals'];

export interface Change {
  readonly operation: string;
  readonly measure: Measure;
  /** ms, per second, or share of all operations; null: nothing was measured. */
  readonly before: number | null;
  readonly after: number | null;
  /** `after` less `before` as a share of `before`; null if `before` is 0 or one is missing. */
  readonly share: number | null;
  readonly verdict: 'better' | 'worse' | 'same' | 'unknown';
}

export interface Comparison {
  /** Why the two say little of each other, as sentences. */
  readonly doubts: readonly string[];
  readonly changes: readonly Change[];
  /** Operations that only one of the two has. */
  readonly onlyBefore: readonly string[];
  readonly onlyAfter: readonly string[];
  readonly isWorse: boolean;
}

/**
 * A latency or rate that changed by more than `tolerance` (a share: 0.1 is 10 %) is better or worse. For errors and refusals
 * the change of their share of all operations counts, and the tolerance is a tenth of `tolerance`: from 0 % to 1 % errors
 * with a tolerance of 10 % is the limit.
 */
export function compareReports(before: RunReport, after: RunReport, tolerance: number): Comparison {
  const earlier = byName(before);
  const later = byName(after);
  const both = [...earlier.keys()].filter((name) => later.has(name));
  const changes = both.flatMap((name) =>
    changesOf(name, earlier.get(name), later.get(name), tolerance),
  );
  return {
    doubts: doubtsOf(before, after),
    changes,
    onlyBefore: [...earlier.keys()].filter((name) => !later.has(name)),
    onlyAfter: [...later.keys()].filter((name) => !earlier.has(name)),
    isWorse: changes.some(({ verdict }) => verdict === 'worse'),
  };
}

function byName({ operations, total }: RunReport): ReadonlyMap<string, OperationReport> {
  const all = operations.length === 1 ? operations : [...operations, total];
  return new Map(all.map((report) => [report.name, report]));
}

function doubtsOf(before: RunReport, after: RunReport): readonly string[] {
  const doubts: string[] = [];
  for (const [which, { verdict }] of [
    ['first', before],
    ['second', after],
  ] as const) {
    if (verdict !== 'invalid' && verdict !== 'interrupted' && verdict !== 'aborted') continue;
    doubts.push(`The ${which} run is ${verdict}: its figures may say nothing about the daemon.`);
  }
  if (before.run.scenario.sha256 !== after.run.scenario.sha256) {
    doubts.push('The scenarios are not the same.');
  }
  if (before.run.seed !== after.run.seed) {
    doubts.push('The seeds are not the same: the arrivals differ.');
  }
  if (before.run.processes !== after.run.processes) {
    doubts.push('The number of generator processes is not the same.');
  }
  return doubts;
}

function changesOf(
  operation: string,
  before: OperationReport | undefined,
  after: OperationReport | undefined,
  tolerance: number,
): readonly Change[] {
  if (before === undefined || after === undefined) return [];
  return COMPARED.map((measure) => {
    const [first, second] = [measureOf(before, measure), measureOf(after, measure)];
    const change = first === null || second === null ? null : second - first;
    const share = change === null || first === null || first === 0 ? null : change / first;
    const verdict = verdictOf(measure, change, share, tolerance);
    return { operation, measure, before: first, after: second, share, verdict };
  });
}

function verdictOf(
  measure: Measure,
  change: number | null,
  share: number | null,
  tolerance: number,
): Change['verdict'] {
  const isShare = MEASURES[measure] === 'share';
  const size = isShare ? change : share;
  if (size === null) return 'unknown';
  if (Math.abs(size) <= (isShare ? tolerance / 10 : tolerance)) return 'same';
  return size > 0 === (measure === 'rate') ? 'better' : 'worse';
}
