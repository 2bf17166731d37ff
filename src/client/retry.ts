// client: what may be asked again, how often and when. A request is repeated only when it cannot have
// been done (503 with Retry-After: refused before anything began) or when doing it twice is doing it
// once (GET, and a POST with an Idempotency-Key).

import { ApiError, ConnectionError } from './errors.ts';
import { pause } from './pause.ts';

export interface RetryPolicy {
  /** Tries in all, the first included; 1 never asks again. */
  readonly attemptsMax: number;
  /** The first pause; it doubles each time, and a random part of it is left out. */
  readonly pauseMs: number;
  /** No pause is longer; a daemon that asks for a longer one is not asked again. */
  readonly pauseMsMax: number;
}

export const DEFAULT_RETRY: RetryPolicy = { attemptsMax: 3, pauseMs: 100, pauseMsMax: 10_000 };

/** Runs it until it resolves, fails with what must not be repeated, or was tried often enough. */
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

/** Half of the pause is fixed and half is random, so that clients do not come back all at once. */
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
