// http: how far a client wants to wait: ?wait= and ?timeout= of every operation that has them.

import { LIMITS } from '../config.ts';
import type { WaitFor, WaitOptions } from '../engine/engine-api.ts';
import type { Query } from './query.ts';

const GOALS = ['accepted', 'running', 'ready'] as const;

/** undefined when the client says nothing: then the operation answers as it always does. */
export function waitOptionsIn(query: Query, byDefault: WaitFor): WaitOptions | undefined {
  const asked = query.text('wait') !== undefined;
  const wait = query.choice('wait', GOALS, byDefault);
  const timeoutMs = query.count('timeout', LIMITS.waitTimeoutMaxMs);
  if (!asked && timeoutMs === undefined) return undefined;
  return { wait, timeoutMs: timeoutMs ?? LIMITS.waitTimeoutMs };
}
