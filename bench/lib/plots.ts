// bench: plots as SVG, made of a results file by the program. The same file gives the same text, so that a change of a
// picture is a change of figures.

import { aimText, numberText, prefersMore, type Row, ratioOf, ratiosOf } from './row.ts';
import { median } from './statistics.ts';

const INK = '#24292f';
const FAINT = '#d0d7de';
const OURS = '#0969da';
const BOUND = '#9a6700';
const SHORT = '#cf222e';
const FONT = 'font-family="sans-serif" font-size="12"';

/** How far left and right of its aim a ratio is shown, as a factor. */
const FACTOR_MAX = 4;

const LABEL_WIDTH = 470;
const PLOT_WIDTH = 420;
const LINE_HEIGHT = 24;
const MARGIN = 16;

/** Rows whose figures count. */
function counted(rows: readonly Row[]): readonly Row[] {
  return rows.filter(({ refusal }) => refusal === null);
}

/** How good a ratio is: 1 is the aim, more is better, whichever way the row goes. */
function reach(item: Row, ratio: number): number {
  return 'atLeast' in item.aim ? ratio / item.aim.atLeast : item.aim.atMost / ratio;
}

/** One line for each row: each round is a dot, the median a bar, and the vertical line is the aim. */
export function plotAims(rows: readonly Row[]): string {
  const shown = counted(rows);
  const height = MARGIN * 2 + LINE_HEIGHT * (shown.length + 2);
  const width = LABEL_WIDTH + PLOT_WIDTH + MARGIN * 2;
  const x = (factor: number) => {
    const bounded = Math.min(FACTOR_MAX, Math.max(1 / FACTOR_MAX, factor));
    const share = Math.log(bounded * FACTOR_MAX) / Math.log(FACTOR_MAX * FACTOR_MAX);
    return MARGIN + LABEL_WIDTH + share * PLOT_WIDTH;
  };
  const bottom = MARGIN + LINE_HEIGHT * (shown.length + 1);
  const grid = [0.25, 0.5, 1, 2, 4].flatMap((factor) => [
    line(x(factor), MARGIN, x(factor), bottom, factor === 1 ? INK : FAINT),
    text(x(factor), bottom + 16, factor === 1 ? 'aim' : `${factor} x`, 'middle'),
  ]);
  const lines = shown.flatMap((item, index) => {
    const y = MARGIN + LINE_HEIGHT * (index + 1);
    const middle = reach(item, ratioOf(item));
    const color = middle >= 1 ? OURS : SHORT;
    return [
      text(MARGIN, y + 4, `${item.what}: ${ratioOf(item).toFixed(2)} (${aimText(item)})`, 'start'),
      ...ratiosOf(item).map((ratio) => dot(x(reach(item, ratio)), y, color)),
      bar(x(middle), y, color),
    ];
  });
  return svg(width, height, 'Each ratio against its aim: right of the line is better', [
    ...grid,
    ...lines,
  ]);
}

const PANEL_WIDTH = 420;
const PANEL_HEIGHT = 130;
const PANELS_PER_LINE = 2;

/** A panel for each row: ours and the bound, round by round, from zero up. */
export function plotRounds(rows: readonly Row[]): string {
  const shown = counted(rows).filter(({ ours }) => ours.length > 1);
  const lines = Math.ceil(shown.length / PANELS_PER_LINE);
  const panels = shown.flatMap((item, index) =>
    panel(
      item,
      MARGIN + (index % PANELS_PER_LINE) * (PANEL_WIDTH + MARGIN),
      MARGIN + Math.floor(index / PANELS_PER_LINE) * (PANEL_HEIGHT + MARGIN),
    ),
  );
  const legendY = MARGIN + lines * (PANEL_HEIGHT + MARGIN);
  const legend = [
    dot(MARGIN + 4, legendY, OURS),
    text(MARGIN + 14, legendY + 4, 'ours', 'start'),
    dot(MARGIN + 74, legendY, BOUND),
    text(MARGIN + 84, legendY + 4, 'bound', 'start'),
  ];
  const width = MARGIN + PANELS_PER_LINE * (PANEL_WIDTH + MARGIN);
  return svg(width, legendY + MARGIN, 'Ours and the bound, round by round', [...panels, ...legend]);
}

function panel(item: Row, left: number, top: number): readonly string[] {
  const rounds = item.ours.length;
  const bounds =
    item.bound.length === rounds ? item.bound : item.ours.map(() => median(item.bound));
  const most = Math.max(...item.ours, ...bounds);
  const base = top + PANEL_HEIGHT - 18;
  const heightMax = PANEL_HEIGHT - 52;
  const x = (round: number) => left + 12 + (round * (PANEL_WIDTH - 24)) / Math.max(1, rounds - 1);
  const y = (value: number) => base - (most > 0 ? (value / most) * heightMax : 0);
  const series = (values: readonly number[], color: string) => [
    path(
      values.map((value, round) => [x(round), y(value)] as const),
      color,
    ),
    ...values.map((value, round) => dot(x(round), y(value), color)),
  ];
  const better = prefersMore(item) ? 'more is better' : 'less is better';
  const figures = `${numberText(median(item.ours))} of ${numberText(median(bounds))} ${item.unit}, ${better}`;
  return [
    text(left, top + 12, item.what, 'start'),
    text(left, top + 27, figures, 'start', '#57606a'),
    line(left, base, left + PANEL_WIDTH, base, FAINT),
    ...series(bounds, BOUND),
    ...series(item.ours, OURS),
  ];
}

function svg(width: number, height: number, title: string, parts: readonly string[]): string {
  const size = `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" ${FONT}>`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

/** One decimal is a tenth of a pixel. */
function at(value: number): string {
  return value.toFixed(1);
}

function line(x1: number, y1: number, x2: number, y2: number, color: string): string {
  return `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" stroke="${color}"/>`;
}

function dot(x: number, y: number, color: string): string {
  return `<circle cx="${at(x)}" cy="${at(y)}" r="3" fill="${color}" fill-opacity="0.5"/>`;
}

function bar(x: number, y: number, color: string): string {
  return `<rect x="${at(x - 1.5)}" y="${at(y - 8)}" width="3" height="16" fill="${color}"/>`;
}

function path(points: readonly (readonly [number, number])[], color: string): string {
  const list = points.map(([x, y]) => `${at(x)},${at(y)}`).join(' ');
  return `<polyline points="${list}" fill="none" stroke="${color}" stroke-opacity="0.5"/>`;
}

function text(
  x: number,
  y: number,
  value: string,
  anchor: 'start' | 'middle',
  color: string = INK,
): string {
  const place = `x="${at(x)}" y="${at(y)}" text-anchor="${anchor}" fill="${color}"`;
  return `<text ${place}>${escaped(value)}</text>`;
}

function escaped(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
