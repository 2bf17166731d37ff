// load, report: a comparison of two runs as plain text.

import type { Comparison } from './compare.ts';
import { MEASURES } from './measures.ts';
import { textTable } from './text-table.ts';
import { measuredText, NOTHING } from './words.ts';

/** Ends with a line break. */
export function compareText(comparison: Comparison): string {
  const { doubts, changes, onlyBefore, onlyAfter, isWorse } = comparison;
  const rows = changes
    .filter(({ before, after }) => before !== null || after !== null)
    .map((change) => [
      `${change.operation} ${change.measure}`,
      measuredText(change.before, MEASURES[change.measure]),
      measuredText(change.after, MEASURES[change.measure]),
      change.share === null ? NOTHING : signed(change.share),
      change.verdict,
    ]);
  const lines = [
    ...doubts,
    ...textTable(['', 'before', 'after', 'change', ''], rows),
    ...onlyBefore.map((name) => `${name} is in the first run only`),
    ...onlyAfter.map((name) => `${name} is in the second run only`),
    isWorse ? 'The second run is worse.' : 'Nothing is worse in the second run.',
  ];
  return `${lines.join('\n')}\n`;
}

function signed(share: number): string {
  return `${share > 0 ? '+' : ''}${(share * 100).toFixed(1)} %`;
}
