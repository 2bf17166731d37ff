// http: requests with an Idempotency-Key. What it means that a request comes again is decided here; who
// came first and what was answered is the engine's memory.

import { createHash } from 'node:crypto';
import { LIMITS } from '../config.ts';
import type { Engine } from '../engine/engine-api.ts';
import { VolantError } from '../lib/errors.ts';
import { empty, errorReply, type Reply } from './reply.ts';

export interface KeyedRequest {
  readonly key: string;
  readonly operationId: string;
  /** Path parameters and query: what the request is about. */
  readonly target: string;
  readonly rawBody: string;
  /** The body as it was understood. */
  readonly body: unknown;
}

/** The answer of the first request of this key, or what `carryOut` answers now. */
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

/** Refusals are thrown on and not kept: nothing was done, and the request may be mended and sent again. */
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
    // It goes on, so sending the request again would meet its own doing.
    if (error.code === 'WAIT_TIMEOUT') return reply;
    const made = again ? alreadyMade(engine, operationId, error, body) : undefined;
    if (made === undefined) throw thrown;
    return { status: 201, body: made };
  }
}

/** What an earlier daemon made for this very request before it could answer. */
function alreadyMade(
  engine: Engine,
  operationId: string,
  { code }: VolantError,
  body: unknown,
): string | undefined {
  const { name } = body as { name: string };
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
