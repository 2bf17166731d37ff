// http, exchange: requests with an Idempotency-Key. This file decides what a repeated request means; the engine remembers
// the first request and its answer.

import { createHash } from 'node:crypto';
import { LIMITS } from '../../config/limits.ts';
import type { Engine } from '../../engine/engine-api.ts';
import { VolantError } from '../../lib/errors.ts';
import { empty, errorReply, type Reply } from './reply.ts';

export interface KeyedRequest {
  readonly key: string;
  readonly operationId: string;
  /** Path parameters and query, as one text. */
  readonly target: string;
  readonly rawBody: string;
  /** The body as it was parsed and checked. */
  readonly body: unknown;
}

/** The answer of the first request with this key, or the answer of `carryOut` if this is the first. */
export async function answerOnce(
  engine: Engine,
  request: KeyedRequest,
  carryOut: () => Promise<Reply>,
): Promise<Reply> {
  checkKey(request.key);
  let fresh: Reply | undefined;
  const kept = await engine.idempotency.run(request.key, fingerprintOf(request), async (again) => {
    fresh = await firstAnswer(engine, request, carryOut, again);
    return { status: fresh.status, body: fresh.body ?? '' };
  });
  if (fresh !== undefined) return fresh;
  const reply = kept.body === '' ? empty(kept.status) : { status: kept.status, body: kept.body };
  return { ...reply, headers: { 'Idempotent-Replayed': 'true' } };
}

/** Errors are rethrown and not stored: nothing was done, and the client may correct the request and repeat it. */
async function firstAnswer(
  engine: Engine,
  { operationId, body }: KeyedRequest,
  carryOut: () => Promise<Reply>,
  again: boolean,
): Promise<Reply> {
  try {
    return await carryOut();
  } catch (thrown) {
    const { error, ...reply } = errorReply(thrown);
    // The operation continues, so a repeated request would conflict with it. The timeout is stored as the answer.
    if (error.code === 'WAIT_TIMEOUT') return reply;
    const made = again ? alreadyMade(engine, operationId, error, body) : undefined;
    if (made === undefined) throw thrown;
    return { status: 201, body: made };
  }
}

/** What an earlier daemon created for this same request without answering it. */
function alreadyMade(
  engine: Engine,
  operationId: string,
  { code }: VolantError,
  body: unknown,
): string | undefined {
  // Some operations have no body.
  const { name = '' } = (body ?? {}) as { name?: string };
  if (operationId === 'createVM' && code === 'VM_NAME_TAKEN') return engine.vms.get(name);
  if (operationId === 'createDeployment' && code === 'DEPLOYMENT_NAME_TAKEN') {
    return JSON.stringify(engine.deployments.get(name));
  }
  return undefined;
}

function checkKey(key: string): void {
  if (key.length <= LIMITS.idempotencyKeyCharactersMax && /^[\x21-\x7e]+$/.test(key)) return;
  const problem = `must be 1 to ${LIMITS.idempotencyKeyCharactersMax} visible ASCII characters`;
  throw new VolantError('PARAMETER_INVALID', undefined, {
    details: { 'Idempotency-Key': problem },
  });
}

function fingerprintOf({ operationId, target, rawBody }: KeyedRequest): string {
  return createHash('sha256').update(`${operationId}\n${target}\n${rawBody}`).digest('base64');
}
