// http, guests: /api/v1/vms/{name}/files/{path}: files in guests. This file checks caller, VM and request; guest-relay.ts
// transfers the bytes, and the agent does the work.

import { LIMITS } from '../../../config/limits.ts';
import type { AgentApi, Engine } from '../../../engine/engine-api.ts';
import { VolantError } from '../../../lib/errors.ts';
import { FILE_OPERATIONS } from '../../../schema/operations/files.ts';
import type { Operation } from '../../../schema/operations/operation.ts';
import { ANYBODY, type Caller, requireScope } from '../../access/callers.ts';
import type { GuardedRoutes } from '../../access/origin-guard.ts';
import { type Counted, countedExchange } from '../../exchange/counted-exchange.ts';
import { decoded, type ExchangeOptions, type IncomingRequest } from '../../exchange/exchange.ts';
import { writeReply } from '../../exchange/reply.ts';
import { NO_OPERATION, type RequestMeter } from '../../exchange/request-meter.ts';
import { GuestRelay, type RelayLimits } from '../guest-relay.ts';
import { beginRelay, type RelayedRequestParts, relayOptions, whenCut } from '../relayed-request.ts';
import { fileHeaders, refusalIn } from './answer-rules.ts';
import { fileRequest } from './file-request.ts';

export interface FileProxyParts extends RelayedRequestParts {
  readonly engineFor: (caller: Caller) => Pick<Engine, 'agents'>;
  readonly meter: RequestMeter;
  /** For tests. */
  readonly limits?: RelayLimits | undefined;
}

const OPERATIONS: readonly (readonly [string, Operation])[] = Object.entries(FILE_OPERATIONS);
const ALLOW = [...OPERATIONS.map(([, { method }]) => method), 'HEAD', 'OPTIONS'].join(', ');

export class FileProxy {
  readonly #parts: FileProxyParts;
  readonly #limits: RelayLimits;

  constructor(parts: FileProxyParts) {
    this.#parts = parts;
    this.#limits = parts.limits ?? {
      silenceMs: LIMITS.fileSilenceMs,
      bodyBytesMax: LIMITS.fileBodyBytesMax,
    };
  }

  bind(app: GuardedRoutes): void {
    app.any(
      '/api/v1/vms/:name/files/*',
      (response, request, requestId) => this.#handle({ response, request, requestId }),
      { bodyOfAnyType: true },
    );
  }

  /** Nothing here is endless: transfers run to their end. */
  drain(): void {}

  /** As every other request, a transfer continues when its key is no longer valid. */
  endOf(): void {}

  #handle(incoming: IncomingRequest): void {
    const startedMs = performance.now();
    const method = incoming.request.getMethod();
    const options = relayOptions(this.#parts, incoming);
    if (method === 'options') {
      const reply = { status: 204, headers: { Allow: ALLOW } };
      writeReply(incoming.response, reply, { ...options, closeConnection: false });
      return;
    }
    const requests = this.#parts.meter.of(idAndOperation(method)?.[0] ?? NO_OPERATION);
    const counted = { requests, startedMs };
    const begin = () => this.#begin(incoming, options, counted);
    beginRelay(this.#parts, incoming, options, counted, begin);
  }

  #begin(
    { response, request, requestId }: IncomingRequest,
    options: ExchangeOptions,
    counted: Counted,
  ): void {
    const { access, engineFor, traffic } = this.#parts;
    const caller = access.configured ? access.check(request, response, false) : ANYBODY;
    const operation = operationOf(request.getMethod());
    requireScope(caller, operation.scope, operation.summary);
    const { agents } = engineFor(caller);
    const head = fileRequest(operation, {
      method: request.getMethod().toUpperCase(),
      path: /^\/api\/v1\/vms\/[^/]+\/files(\/.*)$/.exec(request.getUrl())?.[1] ?? '/',
      query: request.getQuery() ?? '',
      requestId,
      header: (name) => request.getHeader(name),
    });
    const name = decoded(request.getParameter(0));
    const stream = connectionTo(agents, name).open();
    // Nothing throws from here on: the relay owns the stream, and the exchange is counted in the traffic.
    const exchange = countedExchange(traffic, counted, response, options);
    const rules = {
      headers: fileHeaders,
      refusal: refusalIn,
      refusedBytesMax: LIMITS.fileRefusedBytesMax,
    };
    const onCut = whenCut(this.#parts, name, requestId);
    new GuestRelay(exchange, stream, head, rules, this.#limits, { onCut });
  }
}

/** The agent of a VM. A guest that is not up, or has no agent, is a matter of its state: VM_STATE_CONFLICT. */
export function connectionTo(agents: AgentApi, name: string): ReturnType<AgentApi['connection']> {
  try {
    return agents.connection(name);
  } catch (error) {
    if (!(error instanceof VolantError) || error.code !== 'AGENT_UNREACHABLE') throw error;
    const { retryAfterSeconds } = error;
    const retry = retryAfterSeconds === undefined ? {} : { retryAfterSeconds };
    throw new VolantError('VM_STATE_CONFLICT', error.message, { ...retry, cause: error });
  }
}

function operationOf(method: string): Operation {
  const [, operation] = idAndOperation(method) ?? [];
  if (operation !== undefined) return operation;
  throw new VolantError('METHOD_NOT_ALLOWED', undefined, { headers: { Allow: ALLOW } });
}

function idAndOperation(method: string): readonly [string, Operation] | undefined {
  const wanted = method === 'head' ? 'GET' : method.toUpperCase();
  return OPERATIONS.find(([, known]) => known.method === wanted);
}
