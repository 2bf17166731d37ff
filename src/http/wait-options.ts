// http: how far a client wants to wait: ?wait= and ?timeout= of every operation that has them.

import { LIMITS } from '../config.ts';
import type { WaitFor, WaitOptions } from '../engine/engine-api.ts';
import { WAIT_GOALS } from '../schema/operations/operation.ts';
import type { Query } from './query.ts';

/** undefined when the client says nothing: then the operation answers as it always does. */
export function waitOptionsIn(query: Query, byDefault: WaitFor): WaitOptions | undefined {
  const asked = query.text('wait') !== undefined;
  const wait = query.decision('wait', WAIT_GOALS, byDefault);
  const timeoutMs = query.count('timeout', LIMITS.waitTimeoutMaxMs);
  if (!asked && timeoutMs === undefined) return undefined;
  return { wait, timeoutMs: timeoutMs ?? LIMITS.waitTimeoutMs };
}
