// http: ANY /api/v1/vms/{name}/agent/{path}: requests to the agent of a VM, and through it to its
// workload. Who may, which VM and how many is decided here; the bytes are guest-relay's business.

import { LIMITS } from '../config.ts';
import type { Engine } from '../engine/engine-api.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import type { Scope } from '../lib/scopes.ts';
import { type Access, extraHeadersFor } from './access.ts';
import { ANYBODY, type Caller, requireScope } from './callers.ts';
import { decoded, Exchange, type ExchangeOptions } from './exchange.ts';
import { readGuestHead } from './guest-head.ts';
import { GuestRelay, type RelayLimits } from './guest-relay.ts';
import type { GuardedRoutes } from './origin-guard.ts';
import { errorReply, writeReply } from './reply.ts';
import type { Traffic } from './traffic.ts';
import type { HttpRequest, HttpResponse } from './uws.ts';

export interface AgentProxyParts {
  readonly engineFor: (caller: Caller) => Pick<Engine, 'agents'>;
  readonly access: Access;
  readonly traffic: Traffic;
  readonly log: Logger;
  /** For tests. */
  readonly limits?: RelayLimits | undefined;
}

/** Also to read: what a workload does with a GET is not known here. */
export const AGENT_SCOPE: Scope = 'operate';

/** The agent's routes for the daemon alone: they end guests and give them their manifest. */
export const DAEMON_ONLY = '/agent/';

export class AgentProxy {
  readonly #parts: AgentProxyParts;
  readonly #limits: RelayLimits;
  readonly #relays = new Map<GuestRelay, Caller>();

  constructor(parts: AgentProxyParts) {
    this.#parts = parts;
    this.#limits = parts.limits ?? {
      silenceMs: LIMITS.agentProxyTimeoutMs,
      bodyBytesMax: LIMITS.agentProxyBodyBytesMax,
    };
  }

  bind(app: GuardedRoutes): void {
    app.any(
      '/api/v1/vms/:name/agent/*',
      (response, request, requestId) => this.#handle(response, request, requestId),
      { bodyOfAnyType: true },
    );
  }

  /** Ends streams of events; other answers are left to come to their end. */
  drain(): void {
    for (const relay of [...this.#relays.keys()]) relay.drain();
  }

  /** The same for one who may not ask any more. */
  endOf(caller: Caller): void {
    for (const [relay, whose] of [...this.#relays]) if (whose === caller) relay.drain();
  }

  #handle(response: HttpResponse, request: HttpRequest, requestId: string): void {
    const { access, traffic, log } = this.#parts;
    const method = request.getMethod();
    const extraHeaders = extraHeadersFor(access, request);
    const options = { extraHeaders, withoutBody: method === 'head', requestId };
    if (method === 'options' && request.getHeader('access-control-request-method') !== '') {
      writeReply(response, { status: 204 }, { ...options, closeConnection: false });
      return;
    }
    try {
      traffic.admit();
      this.#begin(response, request, options);
    } catch (thrown) {
      const { error, ...reply } = errorReply(thrown);
      const facts = { operation: 'agent proxy', request_id: requestId, code: error.code };
      log.debug({ ...facts, err: error }, 'request failed');
      // Its body, which nobody has read, would be taken for the next request.
      const hasBody = method !== 'get' && method !== 'head';
      writeReply(response, reply, { ...options, closeConnection: hasBody });
    }
  }

  #begin(response: HttpResponse, request: HttpRequest, options: ExchangeOptions): void {
    const { access, engineFor, traffic } = this.#parts;
    // A browser that reads a stream of events cannot send headers.
    const readsEvents = request.getHeader('accept').includes('text/event-stream');
    const caller = access.configured ? access.check(request, response, readsEvents) : ANYBODY;
    requireScope(caller, AGENT_SCOPE, 'The way to agents');
    const head = readGuestHead(request, access, options.requestId);
    if (head.target.startsWith(DAEMON_ONLY)) throw new VolantError('ROUTE_NOT_FOUND');
    const { agents } = engineFor(caller);
    const name = decoded(request.getParameter(0));
    const stream = agents.connection(name).open();
    // Nothing throws from here on: the relay owns the stream, and the exchange its place in the traffic.
    traffic.begin();
    const exchange = new Exchange(response, options, () => traffic.end());
    const toWorkload = () => agents.workloadUrl(name);
    const relay = new GuestRelay(exchange, stream, head, toWorkload, this.#limits, () =>
      this.#relays.delete(relay),
    );
    this.#relays.set(relay, caller);
  }
}
