// bench: one line of the result: something of ours, beside its bound, measured in the same run.

export interface Row {
  readonly what: string;
  readonly unit: string;
  readonly ours: number;
  readonly bound: number;
  /** What the bound is, in words. */
  readonly boundIs: string;
  /** ours / bound. */
  readonly ratio: number;
  /** What the ratio should be: at least or at most. */
  readonly aim: { readonly atLeast: number } | { readonly atMost: number };
}

export function row(
  what: string,
  unit: string,
  ours: number,
  bound: number,
  boundIs: string,
  aim: Row['aim'],
): Row {
  return { what, unit, ours, bound, boundIs, ratio: ours / bound, aim };
}

export function reachesAim({ ratio, aim }: Row): boolean {
  return 'atLeast' in aim ? ratio >= aim.atLeast : ratio <= aim.atMost;
}

/** A table for a terminal: as wide as its widest cells. */
export function formatTable(rows: readonly Row[]): string {
  const header = ['what', 'ours', 'bound', 'unit', 'ratio', 'aim', '', 'the bound is'];
  const cells = rows.map((item) => [
    item.what,
    number(item.ours),
    number(item.bound),
    item.unit,
    item.ratio.toFixed(2),
    'atLeast' in item.aim ? `>= ${item.aim.atLeast}` : `<= ${item.aim.atMost}`,
    reachesAim(item) ? 'ok' : 'short',
    item.boundIs,
  ]);
  const all = [header, ...cells];
  const widths = header.map((_, column) =>
    Math.max(...all.map((line) => (line[column] ?? '').length)),
  );
  const lines = all.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  lines.splice(1, 0, widths.map((width) => '-'.repeat(width)).join('  '));
  return lines.join('\n');
}

function number(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(3);
}
