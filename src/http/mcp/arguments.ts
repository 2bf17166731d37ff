// http, mcp: arguments that several tools share, and what they mean to the engine.

import { type Static, Type } from 'typebox';
import { LIMITS } from '../../config.ts';
import type { WaitFor, WaitOptions } from '../../engine/engine-api.ts';
import { GraceSeconds, OneOf } from '../../schema/parts.ts';

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
      ['accepted', 'running', 'ready'],
      'How far to wait: accepted (on disk), running, ready (the health check passes)',
    ),
  ),
  timeout: Type.Optional(
    Type.Integer({
      minimum: 0,
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
    Type.Integer({
      minimum: 1,
      maximum: LIMITS.mcpPageMax,
      description: `Most items of the answer; ${LIMITS.mcpPageDefault} when absent`,
    }),
  ),
};

export const PAGE = {
  ...LIMIT,
  offset: Type.Optional(Type.Integer({ minimum: 0, description: 'Items to skip' })),
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
