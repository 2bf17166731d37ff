// lib: tells when the main thread was held up. Everything that can block belongs on a worker; this is
// how we notice when something does not.

import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';
import type { Logger } from './log.ts';

const LOOK_EVERY_MS = 1_000;
/** How many seconds back `longestMs` looks. */
const REMEMBERED = 10;

export interface LoopMonitor {
  /** The longest stall of the event loop in the last ten seconds. */
  longestMs(): number;
  end(): void;
}

/**
 * Logs each second in which the event loop stalled for longer than `stallMs`, with the time that
 * garbage collection took of it and what `activity` says was going on.
 */
export function monitorLoop(log: Logger, stallMs: number, activity: () => object): LoopMonitor {
  const delays = monitorEventLoopDelay({ resolution: 10 });
  delays.enable();
  let collectionMs = 0;
  const collections = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) collectionMs += entry.duration;
  });
  collections.observe({ entryTypes: ['gc'] });
  const longest: number[] = [];
  const timer = setInterval(() => {
    const longestMs = Math.round(delays.max / 1e6);
    longest.push(longestMs);
    if (longest.length > REMEMBERED) longest.shift();
    if (longestMs > stallMs) {
      const cause = { longestMs, collectionMs: Math.round(collectionMs), ...told(activity) };
      log.warn(cause, 'event loop stalled');
    }
    collectionMs = 0;
    delays.reset();
  }, LOOK_EVERY_MS).unref();
  return {
    longestMs: () => Math.max(0, ...longest),
    end: () => {
      clearInterval(timer);
      delays.disable();
      collections.disconnect();
    },
  };
}

/** What cannot be found out is no reason to end: the memory's use is read from a file, which needs a free descriptor. */
function told(activity: () => object): object {
  try {
    return activity();
  } catch (error) {
    return { activity: error instanceof Error ? error.message : String(error) };
  }
}
