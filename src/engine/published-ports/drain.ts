// engine, published ports: waits until the connections to a replica have ended, after it gets no new ones.

import { setTimeout as sleep } from 'node:timers/promises';
import { LIMITS } from '../../config/limits.ts';

/**
 * Resolves when no connection is left, after LIMITS.balancedDrainMs, or when the signal aborts. If connections cannot
 * be counted (null), it waits for LIMITS.balancedDrainBlindMs.
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
    await sleepUnless(signal, LIMITS.balancedDrainCheckMs);
  }
}

async function sleepUnless(signal: AbortSignal, durationMs: number): Promise<void> {
  try {
    await sleep(durationMs, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
