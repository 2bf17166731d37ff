// http, mcp: arguments that several tools share, and their conversion for the engine.

import { type Static, Type } from 'typebox';
import { LIMITS } from '../../../config/limits.ts';
import type { VmWaitFor, WaitOptions } from '../../../engine/engine-api.ts';
import { VM_WAIT_GOALS, WAIT_GOALS } from '../../../schema/operations/operation.ts';
import { GraceSeconds, Int64, OneOf } from '../../../schema/parts.ts';

/** For names of existing things; any text is accepted. */
export const NAME = { name: Type.String({ description: 'Its name' }) };

export const DRY_RUN = {
  dry_run: Type.Optional(
    Type.Boolean({ description: 'Report what would be done or refused, and do nothing' }),
  ),
};

export const WAIT = {
  wait: Type.Optional(
    OneOf(
      WAIT_GOALS,
      'The state to wait for: accepted (on disk), running, ready (the health check passes)',
    ),
  ),
  timeout: Type.Optional(
    Int64({
      maximum: LIMITS.waitTimeoutMaxMs,
      description:
        'Maximum wait in milliseconds; WAIT_TIMEOUT after it, while the operation continues',
    }),
  ),
};

/** As WAIT, for tools about one VM. */
export const VM_WAIT = {
  wait: Type.Optional(
    OneOf(
      VM_WAIT_GOALS,
      'The state to wait for: accepted (on disk), running, ready (the health check passes), exited (the workload has ended for good)',
    ),
  ),
  timeout: WAIT.timeout,
};

/** For tools that end a guest. */
export const GRACE = { grace_seconds: Type.Optional(GraceSeconds) };

const GraceArguments = Type.Object(GRACE);

/** undefined if the argument is absent. */
export function graceMsOf({ grace_seconds }: Static<typeof GraceArguments>): number | undefined {
  return grace_seconds === undefined ? undefined : grace_seconds * 1000;
}

export const LIMIT = {
  limit: Type.Optional(
    Int64({
      minimum: 1,
      maximum: LIMITS.mcpPageMax,
      description: `Maximum number of items in the answer; ${LIMITS.mcpPageDefault} when absent`,
    }),
  ),
};

export const PAGE = {
  ...LIMIT,
  offset: Type.Optional(Int64({ description: 'Items to skip' })),
};

/** undefined if the arguments are absent: the operation then answers with its default. */
export function waitOptionsOf<Goal extends VmWaitFor>(
  { wait, timeout }: { readonly wait?: Goal; readonly timeout?: number },
  byDefault: Goal,
): WaitOptions<Goal> | undefined {
  if (wait === undefined && timeout === undefined) return undefined;
  return { wait: wait ?? byDefault, timeoutMs: timeout ?? LIMITS.waitTimeoutMs };
}
