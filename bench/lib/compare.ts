// bench: two results files side by side: which rows became better or worse, and which differ by noise only.

import type { Results } from './results.ts';
import { formatTable, percentText, prefersMore, type Row, ratioOf, ratiosOf } from './row.ts';
import { mannWhitney, smallestP } from './statistics.ts';

/** There are some thirty rows: with one in twenty, each comparison would find a difference where there is none. */
export const SIGNIFICANT_P = 0.01;

export type Verdict = 'better' | 'worse' | 'noise' | 'too few rounds' | 'refused' | 'missing';

export interface Comparison {
  readonly what: string;
  readonly verdict: Verdict;
  /** Medians of the ratios to the bound; null where there is none. */
  readonly before: number | null;
  readonly after: number | null;
  /** By how much the ratio grew, as a share. */
  readonly change: number | null;
  readonly p: number | null;
}

/**
 * Compares ratios to the bound, not figures: the two files may be of different machines or hours. A row is better or worse
 * when the test of Mann and Whitney on its rounds says that a difference like this is rare among equals.
 */
export function compareResults(before: Results, after: Results): readonly Comparison[] {
  const names = new Set([...before.rows, ...after.rows].map(({ what }) => what));
  const find = ({ rows }: Results, name: string) => rows.find(({ what }) => what === name);
  return [...names].map((name) => compareRow(name, find(before, name), find(after, name)));
}

function compareRow(what: string, before: Row | undefined, after: Row | undefined): Comparison {
  const none = { what, before: null, after: null, change: null, p: null };
  if (before === undefined || after === undefined) return { ...none, verdict: 'missing' };
  if (before.refusal !== null || after.refusal !== null) return { ...none, verdict: 'refused' };
  const [first, second] = [ratiosOf(before), ratiosOf(after)];
  const medians = { before: ratioOf(before), after: ratioOf(after) };
  const change = medians.after / medians.before - 1;
  const { p } = mannWhitney(first, second);
  const figures = { what, ...medians, change, p };
  if (smallestP(first.length, second.length) > SIGNIFICANT_P) {
    return { ...figures, verdict: 'too few rounds' };
  }
  if (p > SIGNIFICANT_P || change === 0) return { ...figures, verdict: 'noise' };
  return { ...figures, verdict: change > 0 === prefersMore(after) ? 'better' : 'worse' };
}

export function formatComparisons(comparisons: readonly Comparison[]): string {
  const cells = comparisons.map(({ what, verdict, before, after, change, p }) => [
    what,
    before?.toFixed(2) ?? '-',
    after?.toFixed(2) ?? '-',
    change === null ? '-' : `${change >= 0 ? '+' : '-'}${percentText(Math.abs(change))}`,
    p === null ? '-' : p.toPrecision(2),
    verdict,
  ]);
  return formatTable(['what', 'ratio A', 'ratio B', 'change', 'p', ''], cells);
}
