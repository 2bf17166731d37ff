// load, report: plots over the time of a run, as SVG. Colours are custom properties of the page, so that they follow its theme.

import { escapedMarkup } from './markup.ts';
import type { PhaseReport } from './run-report.ts';
import { digits } from './words.ts';

/** A line of a plot. Points without a value leave a gap. */
export interface Series {
  readonly name: string;
  /** 1 to 4: a colour of the page. */
  readonly color: 1 | 2 | 3 | 4;
  readonly points: readonly (readonly [atMs: number, value: number | null])[];
}

export interface Plot {
  readonly title: string;
  readonly unit: string;
  readonly series: readonly Series[];
}

const WIDTH = 860;
const HEIGHT = 220;
const LEFT = 64;
const RIGHT = 12;
const TOP = 14;
const BOTTOM = 26;

/** `untilMs` is the end of the time axis, which begins with the run. Phases are shown as bands. */
export function plotSvg(plot: Plot, phases: readonly PhaseReport[], untilMs: number): string {
  const values = plot.series.flatMap(({ points }) => points.map(([, value]) => value ?? 0));
  const top = niceTop(Math.max(0, ...values));
  const x = (atMs: number) => LEFT + (atMs / Math.max(1, untilMs)) * (WIDTH - LEFT - RIGHT);
  const y = (value: number) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
  const legend = plot.series.map(
    ({ name, color }) => `<span class="key c${color}">${escapedMarkup(name)}</span>`,
  );
  return [
    `<figure><figcaption>${escapedMarkup(plot.title)} (${escapedMarkup(plot.unit)}) ${legend.join(' ')}</figcaption>`,
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapedMarkup(plot.title)}">`,
    ...phases.map((phase, index) => band(phase, index, x)),
    ...[0, 0.25, 0.5, 0.75, 1].map((part) => gridLine(y(part * top), digits(part * top))),
    ...timeLabels(untilMs, x),
    ...plot.series.map((series) => seriesLines(series, x, y)),
    '</svg></figure>',
  ].join('\n');
}

/** 1, 2, 2.5 or 5 times a power of ten, at or above the value. */
export function niceTop(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = [1, 2, 2.5, 5, 10].find((one) => one * power >= value * (1 - 1e-9)) ?? 10;
  return factor * power;
}

type Scale = (value: number) => number;

function band({ name, startMs, durationMs }: PhaseReport, index: number, x: Scale): string {
  const width = Math.max(0, x(startMs + durationMs) - x(startMs));
  const kind = index % 2 === 0 ? 'even' : 'odd';
  const height = HEIGHT - TOP - BOTTOM;
  return `<rect class="band ${kind}" x="${at(x(startMs))}" y="${TOP}" width="${at(width)}" height="${height}"><title>${escapedMarkup(name)}</title></rect>`;
}

function gridLine(y: number, label: string): string {
  return [
    `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at(y)}" y2="${at(y)}"/>`,
    `<text class="axis" x="${LEFT - 6}" y="${at(y + 4)}" text-anchor="end">${label}</text>`,
  ].join('');
}

function timeLabels(untilMs: number, x: Scale): readonly string[] {
  return [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const anchor = part === 0 ? 'start' : part === 1 ? 'end' : 'middle';
    const label = `${digits((part * untilMs) / 1000)} s`;
    return `<text class="axis" x="${at(x(part * untilMs))}" y="${HEIGHT - 8}" text-anchor="${anchor}">${label}</text>`;
  });
}

/** A line for each stretch without a gap. */
function seriesLines({ points, color }: Series, x: Scale, y: Scale): string {
  const stretches: string[][] = [[]];
  for (const [atMs, value] of points) {
    if (value === null) stretches.push([]);
    else stretches.at(-1)?.push(`${at(x(atMs))},${at(y(value))}`);
  }
  return stretches
    .filter((stretch) => stretch.length > 0)
    .map((stretch) => {
      // A single point has no length: it is drawn as a short line.
      const list = stretch.length === 1 ? [...stretch, ...stretch] : stretch;
      return `<polyline class="line c${color}" points="${list.join(' ')}"/>`;
    })
    .join('');
}

/** One decimal is a tenth of a pixel. */
function at(value: number): string {
  return value.toFixed(1);
}
