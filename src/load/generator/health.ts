// load, generator: whether this process has time for its work: the delay of its event loop, its share of a processor, how long
// it waited for one, and the time in which it could start nothing.

import { readFileSync } from 'node:fs';
import { type IntervalHistogram, monitorEventLoopDelay, performance } from 'node:perf_hooks';
import type { GeneratorProcessReport } from '../report/run-report.ts';

/** The delay is measured with a timer of this interval, which counts in each value. */
const RESOLUTION_MS = 10;
/** Stalls are seen by a timer of this interval. */
const TICK_MS = 20;
const SAMPLE_MS = 1_000;
/** A share of a processor is taken over so many samples, because one alone can be a collection of garbage. */
const SAMPLES = 5;
/** Of the main thread, in nanoseconds: it ran, it waited for a processor (kernel documentation, "Scheduler Statistics"). */
const SCHEDULER_FILE = '/proc/self/schedstat';

interface Usage {
  readonly atMs: number;
  /** All threads. */
  readonly cpuMs: number;
  /** The main thread ran or waited for a processor; null: the kernel does not count it. */
  readonly wantedMs: number | null;
}

export class HealthMonitor {
  readonly #delay: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #stallMs: number;
  readonly #recent: Usage[] = [];
  readonly #timers: readonly NodeJS.Timeout[];
  readonly #first: Usage;
  #tickMs: number;
  #stalledMs = 0;
  #cpuShareMax = 0;
  #wantedShareMax: number | null = null;
  #memoryBytesMax = 0;

  /** What is due so long before the end of a stall is in time. */
  constructor(stallMs: number) {
    this.#stallMs = stallMs;
    this.#delay.enable();
    this.#first = usage();
    this.#tickMs = this.#first.atMs;
    this.#recent.push(this.#first);
    this.#timers = [
      setInterval(() => this.#tick(), TICK_MS),
      setInterval(() => this.#sample(), SAMPLE_MS),
    ];
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#delay.disable();
  }

  report(): Omit<GeneratorProcessReport, 'index' | 'pid' | 'starts' | 'lateStarts'> {
    this.#tick();
    this.#sample();
    const last = this.#recent.at(-1) ?? this.#first;
    const beyond = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
    const mean = shareBetween(this.#first, last, ({ cpuMs }) => cpuMs) ?? 0;
    const wanted = shareBetween(this.#first, last, ({ wantedMs }) => wantedMs);
    return {
      // Without a single value the histogram says NaN.
      loopDelayP99Ms: beyond(this.#delay.percentile(99) || 0),
      loopDelayMaxMs: beyond(this.#delay.max || 0),
      stalledMs: this.#stalledMs,
      measuredMs: last.atMs - this.#first.atMs,
      cpuShareMean: mean,
      cpuShareMax: Math.max(this.#cpuShareMax, mean),
      wantedShareMax: wanted === null ? null : Math.max(this.#wantedShareMax ?? 0, wanted),
      memoryBytesMax: this.#memoryBytesMax,
    };
  }

  #tick(): void {
    const nowMs = performance.now();
    const lateMs = nowMs - this.#tickMs - TICK_MS;
    this.#stalledMs += Math.max(0, lateMs - this.#stallMs);
    this.#tickMs = nowMs;
  }

  #sample(): void {
    const now = usage();
    this.#recent.push(now);
    if (this.#recent.length > SAMPLES) {
      const [oldest = now] = this.#recent;
      this.#cpuShareMax = Math.max(
        this.#cpuShareMax,
        shareBetween(oldest, now, ({ cpuMs }) => cpuMs) ?? 0,
      );
      const wanted = shareBetween(oldest, now, ({ wantedMs }) => wantedMs);
      if (wanted !== null) this.#wantedShareMax = Math.max(this.#wantedShareMax ?? 0, wanted);
      this.#recent.shift();
    }
    this.#memoryBytesMax = Math.max(this.#memoryBytesMax, process.memoryUsage.rss());
  }
}

function usage(): Usage {
  const { user, system } = process.cpuUsage();
  return { atMs: performance.now(), cpuMs: (user + system) / 1000, wantedMs: wantedMs() };
}

function wantedMs(): number | null {
  try {
    const [ran, waited] = readFileSync(SCHEDULER_FILE, 'latin1').split(' ').map(Number);
    const wanted = ((ran ?? 0) + (waited ?? 0)) / 1e6;
    return Number.isFinite(wanted) ? wanted : null;
  } catch (error) {
    // A kernel without CONFIG_SCHED_INFO.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** The share of the time between two readings; null if one of them lacks the figure. */
function shareBetween(
  one: Usage,
  other: Usage,
  figure: (usage: Usage) => number | null,
): number | null {
  const [from, to] = [figure(one), figure(other)];
  if (from === null || to === null) return null;
  return other.atMs > one.atMs ? (to - from) / (other.atMs - one.atMs) : 0;
}
