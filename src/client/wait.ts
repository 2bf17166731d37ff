// client: the query and headers of operations that may be waited for, and the bound of such a call.

import type { Call } from './http.ts';
import type { WaitOptions } from './types.ts';

/** The daemon keeps the bound of the wait; the call itself gets this much more to answer. */
const ANSWER_TIMEOUT_MS = 10_000;

export function waitCall(options: WaitOptions = {}): Pick<Call, 'query' | 'headers' | 'options'> {
  const { wait, waitTimeoutMs, idempotencyKey, timeoutMs } = options;
  const boundMs =
    timeoutMs ?? (waitTimeoutMs === undefined ? undefined : waitTimeoutMs + ANSWER_TIMEOUT_MS);
  return {
    query: { wait, timeout: waitTimeoutMs },
    ...(idempotencyKey === undefined ? {} : { headers: { 'Idempotency-Key': idempotencyKey } }),
    options: {
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...(boundMs === undefined ? {} : { timeoutMs: boundMs }),
    },
  };
}
