// load, generator: the clock of a run. It is monotonic and the same in all processes of a host, so a moment can be sent to
// another process as a number.

import { performance } from 'node:perf_hooks';

/** performance.now() counts from the start of the process; both read CLOCK_MONOTONIC. */
const processStartMs = Number(process.hrtime.bigint() / 1000n) / 1000 - performance.now();

/** Milliseconds of the host's monotonic clock, with fractions. */
export function monotonicMs(): number {
  return processStartMs + performance.now();
}

/** Longer timers fire at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Resolves at the moment or up to about two milliseconds later; at once when the signal aborts. The caller checks the signal. */
export async function sleepUntil(atMs: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const leftMs = atMs - monotonicMs();
    if (leftMs <= 0) return;
    await sleep(leftMs, signal);
  }
}

/** Resolves after this time, or when the signal aborts. */
export function sleep(durationMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, Math.min(durationMs, TIMER_MS_MAX));
    signal.addEventListener('abort', end, { once: true });
  });
}
