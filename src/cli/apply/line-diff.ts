// cli, apply: the difference of two texts as a unified diff, by Myers' algorithm ("An O(ND) Difference Algorithm and Its
// Variations", 1986). Pure.

const CONTEXT_LINES = 3;
/** Texts with more differences are shown as one block, because time and memory grow with the square of this. */
const DIFFERENCES_MAX = 500;

interface Edit {
  readonly sign: ' ' | '-' | '+';
  readonly line: string;
}

/** The hunks of a unified diff, without a header; empty if the texts are equal. */
export function unifiedDiff(before: readonly string[], after: readonly string[]): string[] {
  return hunksOf(editsOf(before, after));
}

function editsOf(before: readonly string[], after: readonly string[]): readonly Edit[] {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) {
    start += 1;
  }
  let [endBefore, endAfter] = [before.length, after.length];
  while (endBefore > start && endAfter > start && before[endBefore - 1] === after[endAfter - 1]) {
    endBefore -= 1;
    endAfter -= 1;
  }
  const asEdits = (lines: readonly string[], sign: Edit['sign']) =>
    lines.map((line) => ({ sign, line }));
  const [removed, added] = [before.slice(start, endBefore), after.slice(start, endAfter)];
  return [
    ...asEdits(before.slice(0, start), ' '),
    ...(shortest(removed, added) ?? [...asEdits(removed, '-'), ...asEdits(added, '+')]),
    ...asEdits(before.slice(endBefore), ' '),
  ];
}

/** The shortest list of edits; null if it has more than DIFFERENCES_MAX. */
function shortest(before: readonly string[], after: readonly string[]): readonly Edit[] | null {
  // By diagonal: the furthest line of `before` that was reached. One copy for each number of edits, for the way back.
  let furthest = new Map<number, number>([[1, 0]]);
  const steps: Map<number, number>[] = [];
  for (
    let edits = 0;
    edits <= Math.min(before.length + after.length, DIFFERENCES_MAX);
    edits += 1
  ) {
    steps.push(furthest);
    const next = new Map(furthest);
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      let x = startOf(next, diagonal, edits);
      while (
        x < before.length &&
        x - diagonal < after.length &&
        before[x] === after[x - diagonal]
      ) {
        x += 1;
      }
      next.set(diagonal, x);
      if (x >= before.length && x - diagonal >= after.length) return wayBack(steps, before, after);
    }
    furthest = next;
  }
  return null;
}

/** Where a diagonal begins after one more edit: below the diagonal above it, or to the right of the one below. */
function startOf(furthest: ReadonlyMap<number, number>, diagonal: number, edits: number): number {
  const left = furthest.get(diagonal - 1) ?? 0;
  const above = furthest.get(diagonal + 1) ?? 0;
  const isInsertion = diagonal === -edits || (diagonal !== edits && left < above);
  return isInsertion ? above : left + 1;
}

function wayBack(
  steps: readonly ReadonlyMap<number, number>[],
  before: readonly string[],
  after: readonly string[],
): readonly Edit[] {
  const found: Edit[] = [];
  let [x, y] = [before.length, after.length];
  for (let edits = steps.length - 1; edits >= 0; edits -= 1) {
    const furthest = steps[edits] ?? new Map<number, number>();
    const diagonal = x - y;
    const begin = startOf(furthest, diagonal, edits);
    while (x > begin) {
      x -= 1;
      y -= 1;
      found.push({ sign: ' ', line: before[x] ?? '' });
    }
    if (edits === 0) break;
    const left = furthest.get(diagonal - 1) ?? 0;
    const above = furthest.get(diagonal + 1) ?? 0;
    if (diagonal === -edits || (diagonal !== edits && left < above)) {
      y -= 1;
      found.push({ sign: '+', line: after[y] ?? '' });
    } else {
      x -= 1;
      found.push({ sign: '-', line: before[x] ?? '' });
    }
  }
  return found.reverse();
}

function hunksOf(edits: readonly Edit[]): string[] {
  const lines: string[] = [];
  const changed = edits.flatMap(({ sign }, at) => (sign === ' ' ? [] : [at]));
  for (let first = 0; first < changed.length; ) {
    let last = first;
    while (
      last + 1 < changed.length &&
      (changed[last + 1] ?? 0) - (changed[last] ?? 0) <= 2 * CONTEXT_LINES
    ) {
      last += 1;
    }
    const begin = Math.max(0, (changed[first] ?? 0) - CONTEXT_LINES);
    const end = Math.min(edits.length, (changed[last] ?? 0) + CONTEXT_LINES + 1);
    const hunk = edits.slice(begin, end);
    const skipped = edits.slice(0, begin);
    lines.push(`@@ -${rangeOf(skipped, hunk, '+')} +${rangeOf(skipped, hunk, '-')} @@`);
    lines.push(...hunk.map(({ sign, line }) => `${sign}${line}`));
    first = last + 1;
  }
  return lines;
}

/** First line and number of lines of a hunk on one side; `other` is the sign of the lines that only the other side has. */
function rangeOf(skipped: readonly Edit[], hunk: readonly Edit[], other: Edit['sign']): string {
  const here = ({ sign }: Edit) => sign !== other;
  const count = hunk.filter(here).length;
  const first = skipped.filter(here).length + (count === 0 ? 0 : 1);
  return count === 1 ? `${first}` : `${first},${count}`;
}
