// client: query and headers of operations with a wait, and the timeout of such a call.

import type { Call } from './http.ts';
import type { EndOptions, VmWaitFor, WaitOptions } from './types.ts';

/** The daemon ends the wait; the call gets this much more time for the answer. */
const ANSWER_TIMEOUT_MS = 10_000;
/** Time for the end of a guest beyond its grace period: closing its connections and ending its hypervisor. */
const END_TIMEOUT_MS = 60_000;

export function waitCall(
  options: WaitOptions<VmWaitFor> & EndOptions = {},
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

function boundOf(options: WaitOptions<VmWaitFor> & EndOptions): number | undefined {
  const { waitTimeoutMs, graceSeconds, timeoutMs } = options;
  if (timeoutMs !== undefined) return timeoutMs;
  if (waitTimeoutMs !== undefined) return waitTimeoutMs + ANSWER_TIMEOUT_MS;
  return graceSeconds === undefined ? undefined : graceSeconds * 1000 + END_TIMEOUT_MS;
}
