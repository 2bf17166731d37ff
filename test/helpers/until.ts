// test helpers: waiting for something that must come true. The bound is far beyond what any machine needs: it ends a test that
// would hang, and is no measure of time.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';

const BOUND_MS = 60_000;
const EVERY_MS = 25;

/** Resolves when `holds` does. Rejects with a sentence after a minute. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  boundMs = BOUND_MS,
): Promise<void> {
  const deadlineMs = performance.now() + boundMs;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error(`not within ${boundMs / 1000} s: ${what}`);
    await pause(EVERY_MS);
  }
}

/** Resolves when the assertions of `check` pass. Rejects with the last failure after a minute. */
export async function untilPasses(check: () => void | Promise<void>): Promise<void> {
  const deadlineMs = performance.now() + BOUND_MS;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      const isEarly = error instanceof assert.AssertionError && performance.now() < deadlineMs;
      if (!isEarly) throw error;
    }
    await pause(EVERY_MS);
  }
}
