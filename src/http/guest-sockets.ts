// http: WebSockets to workloads, GET /api/v1/vms/{name}/agent/{path} with an upgrade: who may, which VM and how many. What
// asks for no WebSocket goes to agent-proxy.ts; the messages are guest-socket.ts's business.

import { LIMITS } from '../config.ts';
import { VolantError } from '../lib/errors.ts';
import { extraHeadersFor } from './access.ts';
import { AGENT_SCOPE, type AgentProxyParts, DAEMON_ONLY } from './agent-proxy.ts';
import { ANYBODY, type Caller, requireScope } from './callers.ts';
import type { Connections } from './connections.ts';
import { decoded, Exchange, type ExchangeOptions } from './exchange.ts';
import { readGuestHead } from './guest-head.ts';
import { GuestSocket, type GuestSocketEvents, type GuestSocketLimits } from './guest-socket.ts';
import type { GuardedRoutes } from './origin-guard.ts';
import { errorReply, writeReply } from './reply.ts';
import { REQUEST_ID_HEADER } from './request-id.ts';
import { CLOSE, type SocketPlaces } from './socket-viewer.ts';
import type { HttpRequest, HttpResponse, us_socket_context_t } from './uws.ts';

export interface GuestSocketsParts
  extends Pick<AgentProxyParts, 'engineFor' | 'access' | 'traffic' | 'log'> {
  readonly connections: Pick<Connections, 'becameWebSocket'>;
  readonly places: SocketPlaces;
  /** For tests. */
  readonly limits?: Partial<GuestSocketLimits> | undefined;
}

interface Asked {
  readonly response: HttpResponse;
  readonly request: HttpRequest;
  readonly requestId: string;
}

/** What the server keeps for a socket: it copies the members, so they are wrapped. */
interface Data {
  readonly socket: GuestSocket;
}

export class GuestSockets {
  readonly #parts: GuestSocketsParts;
  readonly #limits: GuestSocketLimits;
  readonly #open = new Map<GuestSocket, Caller>();

  constructor(parts: GuestSocketsParts) {
    this.#parts = parts;
    this.#limits = {
      messageBytesMax: LIMITS.agentSocketMessageBytesMax,
      backlogBytesMax: LIMITS.webSocketBacklogBytesMax,
      handshakeMs: LIMITS.agentProxyTimeoutMs,
      pingMs: LIMITS.agentSocketPingMs,
      closeMs: LIMITS.agentSocketCloseMs,
      ...parts.limits,
    };
  }

  bind(app: GuardedRoutes): void {
    const { messageBytesMax, backlogBytesMax } = this.#limits;
    app.ws<Data>('/api/v1/vms/:name/agent/*', {
      maxPayloadLength: messageBytesMax,
      // Never reached: beyond it the server would drop what it cannot send in silence.
      maxBackpressure: (messageBytesMax + backlogBytesMax) * 2,
      upgrade: (response, request, context, requestId) =>
        this.#upgrade({ response, request, requestId }, context),
      open: (client) => client.getUserData().socket.opened(client),
      message: (client, message, isBinary) =>
        client.getUserData().socket.received(message, isBinary),
      drain: (client) => client.getUserData().socket.drained(),
      close: (client, code, reason) =>
        client.getUserData().socket.clientGone(code, Buffer.from(reason).toString()),
    });
  }

  /** Ends all of them; clients come back when the daemon does. */
  drain(): void {
    for (const socket of [...this.#open.keys()]) socket.end(CLOSE.goingAway, 'the daemon ends');
  }

  /** Ends those of one who may not ask any more. */
  endOf(caller: Caller): void {
    for (const [socket, whose] of [...this.#open]) {
      if (whose === caller) socket.end(CLOSE.forbidden, 'the API key is not good any more');
    }
  }

  #upgrade(asked: Asked, context: us_socket_context_t): void {
    const { access, traffic, log } = this.#parts;
    const { response, request, requestId } = asked;
    const extraHeaders = extraHeadersFor(access, request);
    const options = { extraHeaders, withoutBody: false, requestId };
    try {
      traffic.admit();
      this.#begin(asked, context, options);
    } catch (thrown) {
      const { error, ...reply } = errorReply(thrown);
      const facts = { request_id: requestId, code: error.code, err: error };
      log.debug(facts, 'a WebSocket to a workload was refused');
      writeReply(response, reply, { ...options, closeConnection: true });
    }
  }

  #begin(
    { response, request, requestId }: Asked,
    context: us_socket_context_t,
    options: ExchangeOptions,
  ): void {
    const { access, engineFor, traffic, places } = this.#parts;
    // Browsers cannot send headers with a WebSocket.
    const caller = access.configured ? access.check(request, response, true) : ANYBODY;
    requireScope(caller, AGENT_SCOPE, 'The way to agents');
    const head = readGuestHead(request, access, requestId);
    if (head.target.startsWith(DAEMON_ONLY)) throw new VolantError('ROUTE_NOT_FOUND');
    const key = request.getHeader('sec-websocket-key');
    const protocols = request.getHeader('sec-websocket-protocol');
    const { agents } = engineFor(caller);
    const agent = agents.connection(decoded(request.getParameter(0)));
    const leave = places.take();
    const events: GuestSocketEvents = {
      onAccepted: (protocol) => accept(protocol),
      onRefused: (error) => exchange.reply(errorReply(error), true),
      onOver: () => {
        leave();
        this.#open.delete(socket);
      },
    };
    let socket: GuestSocket;
    try {
      socket = new GuestSocket(agent.open(), head, protocols, this.#limits, events);
    } catch (error) {
      leave();
      throw error;
    }
    // Nothing throws from here on.
    this.#open.set(socket, caller);
    traffic.begin();
    const exchange = new Exchange(response, options, () => traffic.end());
    exchange.onAborted(() => socket.clientGone(CLOSE.goingAway, ''));
    const accept = (protocol: string) => {
      if (!exchange.open) return;
      exchange.handOver()();
      this.#parts.connections.becameWebSocket();
      response.cork(() => {
        // The server would begin an answer of its own with the first header.
        response.writeStatus('101 Switching Protocols');
        response.writeHeader(REQUEST_ID_HEADER, requestId);
        response.upgrade<Data>({ socket }, key, protocol, '', context);
      });
    };
  }
}
