// http, guests: ANY /api/v1/vms/{name}/agent/{path}: requests to the agent of a VM, and through it to its workload. This
// file checks the caller, the VM and the number of requests; guest-relay.ts transfers the bytes.

import { LIMITS } from '../../config/limits.ts';
import type { Engine } from '../../engine/engine-api.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Scope } from '../../lib/scopes.ts';
import { ANYBODY, type Caller, requireScope } from '../access/callers.ts';
import type { GuardedRoutes } from '../access/origin-guard.ts';
import { type Counted, countedExchange } from '../exchange/counted-exchange.ts';
import { decoded, type ExchangeOptions, type IncomingRequest } from '../exchange/exchange.ts';
import { writeReply } from '../exchange/reply.ts';
import type { OperationRequests, RequestMeter } from '../exchange/request-meter.ts';
import { headersForClient, readGuestHead } from './guest-head.ts';
import { GuestRelay, type RelayLimits } from './guest-relay.ts';
import { beginRelay, type RelayedRequestParts, relayOptions, whenCut } from './relayed-request.ts';

export interface AgentProxyParts extends RelayedRequestParts {
  readonly engineFor: (caller: Caller) => Pick<Engine, 'agents'>;
  readonly meter: RequestMeter;
  /** For tests. */
  readonly limits?: RelayLimits | undefined;
}

/** Required for reads, too: what a workload does with a GET is unknown. */
export const AGENT_SCOPE: Scope = 'operate';

/** Routes of the agent that only the daemon uses: they end guests and give them their manifest. */
export const DAEMON_ONLY = '/agent/';

export class AgentProxy {
  readonly #parts: AgentProxyParts;
  readonly #limits: RelayLimits;
  readonly #requests: OperationRequests;
  readonly #relays = new Map<GuestRelay, Caller>();

  constructor(parts: AgentProxyParts) {
    this.#parts = parts;
    this.#requests = parts.meter.of('agentProxy');
    this.#limits = parts.limits ?? {
      silenceMs: LIMITS.agentProxyTimeoutMs,
      bodyBytesMax: LIMITS.agentProxyBodyBytesMax,
    };
  }

  bind(app: GuardedRoutes): void {
    app.any(
      '/api/v1/vms/:name/agent/*',
      (response, request, requestId) => this.#handle({ response, request, requestId }),
      { bodyOfAnyType: true },
    );
  }

  /** Ends event streams. Other answers run to their end. */
  drain(): void {
    for (const relay of [...this.#relays.keys()]) relay.drain();
  }

  /** Ends the event streams of one caller whose key is no longer valid. */
  endOf(caller: Caller): void {
    for (const [relay, whose] of [...this.#relays]) if (whose === caller) relay.drain();
  }

  #handle(incoming: IncomingRequest): void {
    const startedMs = performance.now();
    const { response, request } = incoming;
    const options = relayOptions(this.#parts, incoming);
    const isPreflight =
      request.getMethod() === 'options' &&
      request.getHeader('access-control-request-method') !== '';
    if (isPreflight) {
      writeReply(response, { status: 204 }, { ...options, closeConnection: false });
      return;
    }
    const counted = { requests: this.#requests, startedMs };
    const begin = () => this.#begin(incoming, options, counted);
    beginRelay(this.#parts, incoming, options, counted, begin);
  }

  #begin(
    { response, request, requestId }: IncomingRequest,
    options: ExchangeOptions,
    counted: Counted,
  ): void {
    const { access, engineFor, traffic } = this.#parts;
    // A browser that reads an event stream cannot send headers.
    const readsEvents = request.getHeader('accept').includes('text/event-stream');
    const caller = access.configured ? access.check(request, response, readsEvents) : ANYBODY;
    requireScope(caller, AGENT_SCOPE, 'Access to guest agents');
    const head = readGuestHead(request, access, requestId);
    if (head.target.startsWith(DAEMON_ONLY)) throw new VolantError('ROUTE_NOT_FOUND');
    const { agents } = engineFor(caller);
    const name = decoded(request.getParameter(0));
    const stream = agents.connection(name).open();
    // Nothing throws from here on: the relay owns the stream, and the exchange is counted in the traffic.
    const exchange = countedExchange(traffic, counted, response, options);
    const place = () => ({ ...head, workloadUrl: agents.workloadUrl(name) });
    const rules = { headers: (raw: readonly string[]) => headersForClient(raw, place) };
    const relay = new GuestRelay(exchange, stream, head, rules, this.#limits, {
      onOver: () => this.#relays.delete(relay),
      onCut: whenCut(this.#parts, name, requestId),
    });
    this.#relays.set(relay, caller);
  }
}
