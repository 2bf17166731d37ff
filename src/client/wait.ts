// client: the query and headers of operations that may be waited for, and the bound of such a call.

import type { Call } from './http.ts';
import type { EndOptions, WaitOptions } from './types.ts';

/** The daemon keeps the bound of the wait; the call itself gets this much more to answer. */
const ANSWER_TIMEOUT_MS = 10_000;
/** What the end of a guest takes beside its grace: that of its connections, and the hypervisor's own. */
const END_TIMEOUT_MS = 60_000;

export function waitCall(
  options: WaitOptions & EndOptions = {},
): Pick<Call, 'query' | 'headers' | 'options'> {
  const { wait, waitTimeoutMs, graceSeconds, idempotencyKey } = options;
  const boundMs = boundOf(options);
  return {
    query: { wait, timeout: waitTimeoutMs, grace_seconds: graceSeconds },
    ...(idempotencyKey === undefined ? {} : { headers: { 'Idempotency-Key': idempotencyKey } }),
    options: {
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...(boundMs === undefined ? {} : { timeoutMs: boundMs }),
    },
  };
}

function boundOf(options: WaitOptions & EndOptions): number | undefined {
  const { waitTimeoutMs, graceSeconds, timeoutMs } = options;
  if (timeoutMs !== undefined) return timeoutMs;
  if (waitTimeoutMs !== undefined) return waitTimeoutMs + ANSWER_TIMEOUT_MS;
  return graceSeconds === undefined ? undefined : graceSeconds * 1000 + END_TIMEOUT_MS;
}
