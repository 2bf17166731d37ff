// lib: tells when the main thread was held up. Everything that can block belongs on a worker; this is
// how we notice when something does not.

import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';
import type { Logger } from './log.ts';

const LOOK_EVERY_MS = 1_000;

/**
 * Logs each second in which the event loop stood still for longer than `stallMs`, with the time that
 * garbage collection took of it and what `activity` says was going on. Returns the way to end it.
 */
export function monitorLoop(log: Logger, stallMs: number, activity: () => object): () => void {
  const delays = monitorEventLoopDelay({ resolution: 10 });
  delays.enable();
  let collectionMs = 0;
  const collections = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) collectionMs += entry.duration;
  });
  collections.observe({ entryTypes: ['gc'] });
  const timer = setInterval(() => {
    const longestMs = Math.round(delays.max / 1e6);
    if (longestMs > stallMs) {
      const cause = { longestMs, collectionMs: Math.round(collectionMs), ...activity() };
      log.warn(cause, 'the main thread stood still');
    }
    collectionMs = 0;
    delays.reset();
  }, LOOK_EVERY_MS).unref();
  return () => {
    clearInterval(timer);
    delays.disable();
    collections.disconnect();
  };
}
