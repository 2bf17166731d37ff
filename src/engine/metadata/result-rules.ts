// engine, metadata: what is taken of a result that a guest has posted, and how often. The guest is not trusted. Pure.

import { GUEST_LIMITS } from '../../schema/rules/guest-limits.ts';
import type { PostedResult } from '../ports/hypervisor-ports.ts';

/** The text of a result; null if it is too large, not UTF-8, or not the JSON that it says it is. */
export function textOfResult({
  bytes,
  isJson,
}: Pick<PostedResult, 'bytes' | 'isJson'>): string | null {
  if (bytes.length === 0 || bytes.length > GUEST_LIMITS.resultBytesMax) return null;
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    if (isJson) JSON.parse(text);
    return text;
  } catch (error) {
    // TypeError: not UTF-8.
    if (error instanceof TypeError || error instanceof SyntaxError) return null;
    throw error;
  }
}

/** The agent's rule for the number of results, which a guest could have turned off. */
export class ResultPace {
  /** When the pauses of all results so far are over. */
  #pausedUntilMs = 0;

  /** How long the next result has to wait. The first ones need no pause. */
  waitMs(nowMs: number): number {
    const { resultsBurstMax, resultEveryMs } = GUEST_LIMITS;
    return Math.max(0, this.#pausedUntilMs - nowMs - (resultsBurstMax - 1) * resultEveryMs);
  }

  count(nowMs: number): void {
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, nowMs) + GUEST_LIMITS.resultEveryMs;
  }
}
