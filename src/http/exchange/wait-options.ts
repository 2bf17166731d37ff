// http, exchange: reads how long a client wants to wait: ?wait= and ?timeout= of every operation that has them.

import { LIMITS } from '../../config/limits.ts';
import type { VmWaitFor, WaitFor, WaitOptions } from '../../engine/engine-api.ts';
import { VM_WAIT_GOALS, WAIT_GOALS } from '../../schema/operations/operation.ts';
import type { Query } from './query.ts';

/** undefined if the client sends neither: the operation then answers with its default. */
export function waitOptionsIn(query: Query, byDefault: WaitFor): WaitOptions<WaitFor> | undefined {
  return optionsIn(query, WAIT_GOALS, byDefault);
}

/** As waitOptionsIn, for operations on one VM. */
export function vmWaitOptionsIn(query: Query): WaitOptions<VmWaitFor> | undefined {
  return optionsIn(query, VM_WAIT_GOALS, 'running');
}

function optionsIn<const Goal extends VmWaitFor>(
  query: Query,
  goals: readonly Goal[],
  byDefault: Goal,
): WaitOptions<Goal> | undefined {
  const asked = query.text('wait') !== undefined;
  const wait = query.decision('wait', goals, byDefault);
  const timeoutMs = query.count('timeout', LIMITS.waitTimeoutMaxMs);
  if (!asked && timeoutMs === undefined) return undefined;
  return { wait, timeoutMs: timeoutMs ?? LIMITS.waitTimeoutMs };
}
