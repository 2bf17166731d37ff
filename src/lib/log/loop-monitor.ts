// lib, log: logs stalls of the main thread's event loop. Everything that can block belongs on a worker thread; this
// shows when something does not.

import {
  type IntervalHistogram,
  monitorEventLoopDelay,
  PerformanceObserver,
} from 'node:perf_hooks';
import type { Logger } from './log.ts';

const CHECK_INTERVAL_MS = 1_000;
/** How often the delay is measured. What is measured is this plus the delay. */
const RESOLUTION_MS = 10;
/** Number of seconds that `longestMs` covers. */
const SECONDS_KEPT = 10;

/** By how much the event loop was late in the last ten seconds, in ms. */
export interface LoopDelay {
  readonly meanMs: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface LoopMonitor {
  /** Zeros in the first second. */
  delay(): LoopDelay;
  /** Seconds in which the event loop stalled for longer than the bound, since the start. */
  stalls(): number;
  /** The longest stall of the event loop in the last ten seconds. */
  longestMs(): number;
  end(): void;
}

/**
 * Logs each second in which the event loop stalled for longer than `stallMs`, with the time of garbage collection in
 * it and the result of `activity`.
 */
export function monitorLoop(log: Logger, stallMs: number, activity: () => object): LoopMonitor {
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delays.enable();
  let collectionMs = 0;
  const collections = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) collectionMs += entry.duration;
  });
  collections.observe({ entryTypes: ['gc'] });
  const longest: number[] = [];
  const seconds: LoopDelay[] = [];
  let stalls = 0;
  const timer = setInterval(() => {
    const longestMs = Math.round(delays.max / 1e6);
    longest.push(longestMs);
    if (longest.length > SECONDS_KEPT) longest.shift();
    seconds.push(delayIn(delays));
    if (seconds.length > SECONDS_KEPT) seconds.shift();
    if (longestMs > stallMs) {
      stalls += 1;
      const cause = { longestMs, collectionMs: Math.round(collectionMs), ...resultOf(activity) };
      log.warn(cause, 'event loop stalled');
    }
    collectionMs = 0;
    delays.reset();
  }, CHECK_INTERVAL_MS).unref();
  return {
    longestMs: () => Math.max(0, ...longest),
    delay: () => ({
      meanMs: seconds.reduce((sum, { meanMs }) => sum + meanMs, 0) / Math.max(1, seconds.length),
      p99Ms: Math.max(0, ...seconds.map(({ p99Ms }) => p99Ms)),
      maxMs: Math.max(0, ...seconds.map(({ maxMs }) => maxMs)),
    }),
    stalls: () => stalls,
    end: () => {
      clearInterval(timer);
      delays.disable();
      collections.disconnect();
    },
  };
}

/** A second in which nothing was measured has no mean. */
function delayIn(delays: IntervalHistogram): LoopDelay {
  const lateMs = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
  if (delays.count === 0) return { meanMs: 0, p99Ms: 0, maxMs: 0 };
  const { mean, max } = delays;
  return { meanMs: lateMs(mean), p99Ms: lateMs(delays.percentile(99)), maxMs: lateMs(max) };
}

/** An error of `activity` must not end the process: memory use is read from a file, which needs a free descriptor. */
function resultOf(activity: () => object): object {
  try {
    return activity();
  } catch (error) {
    return { activity: error instanceof Error ? error.message : String(error) };
  }
}
