// engine: waiting for what is under way to end, for a replica that gets no new connections any more.

import { setTimeout as sleep } from 'node:timers/promises';
import { LIMITS } from '../../config.ts';

/**
 * Resolves when no connection is left, at once when there is none, or after LIMITS.balancedDrainMs. Where
 * nobody can count them (null) it waits for LIMITS.balancedDrainBlindMs.
 */
export async function untilUnused(count: () => Promise<number | null>): Promise<void> {
  const deadlineMs = performance.now() + LIMITS.balancedDrainMs;
  while (performance.now() < deadlineMs) {
    const left = await count();
    if (left === 0) return;
    if (left === null) return sleep(LIMITS.balancedDrainBlindMs);
    await sleep(LIMITS.balancedDrainLookMs);
  }
}
