// client: which requests may be retried, how often and after which pauses. A request is retried only if it cannot have been
// carried out (503 with Retry-After: refused before anything began), or if a repetition has no further effect (GET, and a
// POST with an Idempotency-Key).

import { ApiError, ConnectionError } from './errors.ts';
import { pause } from './pause.ts';

export interface RetryPolicy {
  /** Maximum number of attempts, including the first; 1 never retries. */
  readonly attemptsMax: number;
  /** The first pause. It doubles with each attempt, and a random part of it is left out. */
  readonly pauseMs: number;
  /** The longest pause. If the daemon asks for a longer one, the call is not retried. */
  readonly pauseMsMax: number;
}

export const DEFAULT_RETRY: RetryPolicy = { attemptsMax: 3, pauseMs: 100, pauseMsMax: 10_000 };

/** Calls `run` until it resolves, fails with an error that must not be retried, or has used all attempts. */
export async function withRetry<T>(
  policy: RetryPolicy,
  repeatable: boolean,
  signal: AbortSignal | undefined,
  run: () => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await run();
    } catch (error) {
      const waitMs = pauseAfter(error, repeatable, attempt, policy);
      if (waitMs === undefined || attempt >= policy.attemptsMax) throw error;
      await pause(waitMs, signal);
      signal?.throwIfAborted();
    }
  }
}

/** One half of the pause is fixed and one is random, so that clients do not all retry at the same time. */
export function backOffMs(attempt: number, policy: Omit<RetryPolicy, 'attemptsMax'>): number {
  const fullMs = Math.min(policy.pauseMs * 2 ** (attempt - 1), policy.pauseMsMax);
  return fullMs / 2 + (Math.random() * fullMs) / 2;
}

function pauseAfter(
  error: unknown,
  repeatable: boolean,
  attempt: number,
  policy: RetryPolicy,
): number | undefined {
  if (error instanceof ApiError && error.status === 503) {
    const { retryAfterSeconds } = error;
    if (retryAfterSeconds === undefined) {
      return repeatable ? backOffMs(attempt, policy) : undefined;
    }
    const askedMs = retryAfterSeconds * 1000;
    return askedMs <= policy.pauseMsMax ? askedMs : undefined;
  }
  return error instanceof ConnectionError && repeatable ? backOffMs(attempt, policy) : undefined;
}
