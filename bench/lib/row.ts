// bench: one line of the result: something of ours, beside its bound, measured round by round in the same run.

import { median, spread } from './statistics.ts';

export type Aim = { readonly atLeast: number } | { readonly atMost: number };

export interface Row {
  /** Rows of two results are the same when this text is. */
  readonly what: string;
  readonly unit: string;
  /** One figure of each round. */
  readonly ours: readonly number[];
  /** Of the same rounds; a single figure where the bound is one that was promised or is measured once. */
  readonly bound: readonly number[];
  /** What the bound is, in words. */
  readonly boundIs: string;
  /** What the ratio should be. Near what is measured, so that a loss shows. */
  readonly aim: Aim;
  /** Why the figures are worth nothing; null where they count. */
  readonly refusal: string | null;
}

type Figures = number | readonly number[];

export function row(
  what: string,
  unit: string,
  ours: Figures,
  bound: Figures,
  boundIs: string,
  aim: Aim,
  refusal: string | null = null,
): Row {
  const made: Row = { what, unit, ours: listOf(ours), bound: listOf(bound), boundIs, aim, refusal };
  const isNumber = made.ours.length > 0 && ratiosOf(made).every(Number.isFinite);
  return isNumber
    ? made
    : { ...made, refusal: refusal ?? 'a round has no figure, or a bound of 0' };
}

function listOf(figures: Figures): readonly number[] {
  return typeof figures === 'number' ? [figures] : figures;
}

/** Ours divided by the bound of the same round. */
export function ratiosOf({ ours, bound }: Row): readonly number[] {
  if (bound.length === ours.length) {
    return ours.map((figure, round) => figure / (bound[round] ?? Number.NaN));
  }
  const all = median(bound);
  return ours.map((figure) => figure / all);
}

export function ratioOf(item: Row): number {
  return median(ratiosOf(item));
}

export function spreadOf(item: Row): number {
  return spread(ratiosOf(item));
}

export function reachesAim(item: Row): boolean {
  const ratio = ratioOf(item);
  return 'atLeast' in item.aim ? ratio >= item.aim.atLeast : ratio <= item.aim.atMost;
}

/** What a better ratio is. */
export function prefersMore({ aim }: Row): boolean {
  return 'atLeast' in aim;
}

/** What may be lost before the aim is missed; above this an aim hides losses. */
const SLACK_MAX = 0.25;

/** `loose`: the aim is so far from what is measured that a loss would not show. */
export function verdictOn(item: Row): 'ok' | 'short' | 'loose' {
  if (!reachesAim(item)) return 'short';
  const ratio = ratioOf(item);
  const slack = 'atLeast' in item.aim ? 1 - item.aim.atLeast / ratio : 1 - ratio / item.aim.atMost;
  return slack > SLACK_MAX ? 'loose' : 'ok';
}

export function aimText({ aim }: Row): string {
  return 'atLeast' in aim ? `>= ${aim.atLeast}` : `<= ${aim.atMost}`;
}

/** Three significant figures. */
export function numberText(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Math.abs(value) >= 100) return value.toFixed(0);
  return value.toPrecision(3);
}

export function percentText(share: number): string {
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}

/** What a table shows of a row: name, medians, unit, ratio, spread, aim, verdict. */
export function cellsOf(item: Row): readonly string[] {
  return [
    item.what,
    numberText(median(item.ours)),
    numberText(median(item.bound)),
    item.unit,
    ratioOf(item).toFixed(2),
    item.ours.length > 1 ? percentText(spreadOf(item)) : '-',
    aimText(item),
    verdictOn(item),
  ];
}

/** For a terminal: the rows that count, and below them those that were refused, with the reason. */
export function formatRows(rows: readonly Row[]): string {
  const good = rows.filter(({ refusal }) => refusal === null);
  const header = ['what', 'ours', 'bound', 'unit', 'ratio', 'spread', 'aim', '', 'the bound is'];
  const cells = good.map((item) => [...cellsOf(item), item.boundIs]);
  const refused = rows
    .filter(({ refusal }) => refusal !== null)
    .map(({ what, refusal }) => `refused: ${what}: ${refusal}`);
  const table = good.length === 0 ? [] : [formatTable(header, cells)];
  return [...table, ...(refused.length === 0 ? [] : [refused.join('\n')])].join('\n\n');
}

/** As wide as its widest cells. */
export function formatTable(
  header: readonly string[],
  cells: readonly (readonly string[])[],
): string {
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
