// http, mcp: arguments that several tools share, and what they mean to the engine.

import { type Static, Type } from 'typebox';
import { LIMITS } from '../../config.ts';
import type { WaitFor, WaitOptions } from '../../engine/engine-api.ts';
import { WAIT_GOALS } from '../../schema/operations/operation.ts';
import { GraceSeconds, Int64, OneOf } from '../../schema/parts.ts';

/** Of something that exists: any text may be asked for. */
export const NAME = { name: Type.String({ description: 'Its name' }) };

export const DRY_RUN = {
  dry_run: Type.Optional(
    Type.Boolean({ description: 'Tell what would be done or refused, and do nothing' }),
  ),
};

export const WAIT = {
  wait: Type.Optional(
    OneOf(
      WAIT_GOALS,
      'How far to wait: accepted (on disk), running, ready (the health check passes)',
    ),
  ),
  timeout: Type.Optional(
    Int64({
      maximum: LIMITS.waitTimeoutMaxMs,
      description:
        'Longest wait in milliseconds; WAIT_TIMEOUT after it, while the operation goes on',
    }),
  ),
};

/** Of tools that end a guest. */
export const GRACE = { grace_seconds: Type.Optional(GraceSeconds) };

const GraceArguments = Type.Object(GRACE);

/** undefined when nothing is said. */
export function graceMsOf({ grace_seconds }: Static<typeof GraceArguments>): number | undefined {
  return grace_seconds === undefined ? undefined : grace_seconds * 1000;
}

export const LIMIT = {
  limit: Type.Optional(
    Int64({
      minimum: 1,
      maximum: LIMITS.mcpPageMax,
      description: `Most items of the answer; ${LIMITS.mcpPageDefault} when absent`,
    }),
  ),
};

export const PAGE = {
  ...LIMIT,
  offset: Type.Optional(Int64({ description: 'Items to skip' })),
};

const WaitArguments = Type.Object(WAIT);

/** undefined when nothing is said: then the operation answers as it always does. */
export function waitOptionsOf(
  { wait, timeout }: Static<typeof WaitArguments>,
  byDefault: WaitFor,
): WaitOptions | undefined {
  if (wait === undefined && timeout === undefined) return undefined;
  return { wait: wait ?? byDefault, timeoutMs: timeout ?? LIMITS.waitTimeoutMs };
}
