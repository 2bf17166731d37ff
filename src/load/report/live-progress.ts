// load, report: shows a run while it runs. In a terminal a few lines are written over again every second; elsewhere one line
// is written every ten seconds, so that a log stays short.

import type { RunObserver, RunProgress } from './run-report.ts';
import { digits, durationText, rateText } from './words.ts';

/** A stream that may be a terminal. */
export interface ProgressStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

const WIDTH_DEFAULT = 80;
const QUIET_EVERY_MS = 10_000;
const BAR_CELLS = 20;
/** Rates of the last seconds, drawn as a small plot. */
const HISTORY_MAX = 30;
const LEVELS = '▁▂▃▄▅▆▇█';

export function liveProgress(stream: ProgressStream): RunObserver {
  return stream.isTTY === true ? new TerminalProgress(stream) : new PlainProgress(stream);
}

class PlainProgress implements RunObserver {
  readonly #stream: ProgressStream;
  #toldMs = Number.NEGATIVE_INFINITY;

  constructor(stream: ProgressStream) {
    this.#stream = stream;
  }

  onNote(note: string): void {
    this.#stream.write(`${note}\n`);
  }

  onSample(progress: RunProgress): void {
    const { atMs } = progress.sample;
    if (atMs - this.#toldMs < QUIET_EVERY_MS) return;
    this.#toldMs = atMs;
    this.#stream.write(`${headLine(progress)}, ${figuresLine(progress)}\n`);
  }
}

class TerminalProgress implements RunObserver {
  readonly #stream: ProgressStream;
  readonly #history: number[] = [];
  #lines = 0;

  constructor(stream: ProgressStream) {
    this.#stream = stream;
  }

  onNote(note: string): void {
    this.#erase();
    this.#stream.write(`${note}\n`);
  }

  onSample(progress: RunProgress): void {
    this.#history.push(progress.sample.succeeded);
    if (this.#history.length > HISTORY_MAX) this.#history.shift();
    const width = this.#stream.columns ?? WIDTH_DEFAULT;
    const lines = [
      headLine(progress),
      `${bar(progress)}  ${sparkline(this.#history)}`,
      figuresLine(progress),
      ...progress.thresholds
        .filter(({ held, value }) => !held && value !== null)
        .map(({ condition }) => `does not hold now: ${condition}`),
    ].map((line) => cut(line, width));
    this.#erase();
    this.#stream.write(`${lines.join('\n')}\n`);
    this.#lines = lines.length;
  }

  onEnd(): void {
    this.#erase();
  }

  /** ECMA-48: the cursor goes up (CUU) and everything below it is erased (ED). */
  #erase(): void {
    if (this.#lines > 0) this.#stream.write(`\u001b[${this.#lines}A\u001b[J`);
    this.#lines = 0;
  }
}

function headLine({ phase, sample, plannedMs }: RunProgress): string {
  const time = `${durationText(sample.atMs)} of ${durationText(plannedMs)}`;
  if (phase === null) return `${time}, waiting for operations to end`;
  const level =
    phase.model === 'open' ? `${rateText(phase.level)} due` : `${digits(phase.level)} users`;
  return `${time}, phase ${phase.number} of ${phase.count}: ${phase.name}, ${level}`;
}

function figuresLine({ sample, total }: RunProgress): string {
  const parts = [
    `${sample.succeeded}/s`,
    `p50 ${durationText(sample.latency.p50Ms)}`,
    `p99 ${durationText(sample.latency.p99Ms)}`,
    `${sample.inFlight} in flight`,
    `${total.succeeded} done`,
    ...(total.errors.total > 0 ? [`${total.errors.total} errors`] : []),
    ...(total.refusals.total > 0 ? [`${total.refusals.total} refused`] : []),
    ...(total.skipped.total > 0 ? [`${total.skipped.total} skipped`] : []),
  ];
  return parts.join(', ');
}

function bar({ sample, plannedMs }: RunProgress): string {
  const share = plannedMs === 0 ? 1 : Math.min(1, sample.atMs / plannedMs);
  const full = Math.round(share * BAR_CELLS);
  return `[${'#'.repeat(full)}${' '.repeat(BAR_CELLS - full)}]`;
}

function sparkline(values: readonly number[]): string {
  const most = Math.max(1, ...values);
  return values
    .map((value) => LEVELS[Math.min(LEVELS.length - 1, Math.floor((value / most) * LEVELS.length))])
    .join('');
}

/** A line that wraps would be counted as one, and its rest would stay. */
function cut(line: string, width: number): string {
  const characters = [...line];
  return characters.length < width
    ? line
    : `${characters.slice(0, Math.max(1, width - 2)).join('')}…`;
}
