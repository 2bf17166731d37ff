// engine: waiting for what is under way to end, for a replica that gets no new connections any more.

import { setTimeout as sleep } from 'node:timers/promises';
import { LIMITS } from '../../config.ts';

/**
 * Resolves when no connection is left, at once when there is none, or after LIMITS.balancedDrainMs, or when the
 * signal aborts. Where nobody can count them (null) it waits for LIMITS.balancedDrainBlindMs.
 */
export async function untilUnused(
  count: () => Promise<number | null>,
  signal: AbortSignal,
): Promise<void> {
  const deadlineMs = performance.now() + LIMITS.balancedDrainMs;
  while (performance.now() < deadlineMs && !signal.aborted) {
    const left = await count();
    if (left === 0) return;
    if (left === null) return sleepUnless(signal, LIMITS.balancedDrainBlindMs);
    await sleepUnless(signal, LIMITS.balancedDrainLookMs);
  }
}

async function sleepUnless(signal: AbortSignal, durationMs: number): Promise<void> {
  try {
    await sleep(durationMs, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
