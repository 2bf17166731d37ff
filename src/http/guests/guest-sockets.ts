// http, guests: WebSockets to workloads, GET /api/v1/vms/{name}/agent/{path} with an upgrade. This file checks the caller,
// the VM and the number of sockets; guest-socket.ts transfers messages. Requests without an upgrade go to agent-proxy.ts.

import { LIMITS } from '../../config/limits.ts';
import { VolantError } from '../../lib/errors.ts';
import { extraHeadersFor } from '../access/access.ts';
import type { Caller } from '../access/callers.ts';
import type { GuardedRoutes } from '../access/origin-guard.ts';
import { decoded, Exchange, type IncomingRequest } from '../exchange/exchange.ts';
import { errorReply } from '../exchange/reply.ts';
import {
  acceptUpgrade,
  admitUpgrade,
  handshakeOf,
  refuseUpgrade,
  type UpgradeParts,
} from '../streams/socket-upgrade.ts';
import { CLOSE, type SocketSlots } from '../streams/socket-viewer.ts';
import type { us_socket_context_t } from '../uws.ts';
import { AGENT_SCOPE, type AgentProxyParts, DAEMON_ONLY } from './agent-proxy.ts';
import { readGuestHead } from './guest-head.ts';
import { GuestSocket, type GuestSocketEvents, type GuestSocketLimits } from './guest-socket.ts';

export interface GuestSocketsParts extends UpgradeParts, Pick<AgentProxyParts, 'engineFor'> {
  readonly slots: SocketSlots;
  /** For tests. */
  readonly limits?: Partial<GuestSocketLimits> | undefined;
}

/** The server copies the members of a socket's data, so they are wrapped in one object. */
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
      // Never reached: at this bound the server would drop messages silently.
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

  /** Closes all sockets; clients reconnect after a restart of the daemon. */
  drain(): void {
    for (const socket of [...this.#open.keys()]) socket.end(CLOSE.goingAway, 'the daemon ends');
  }

  /** Closes the sockets of one caller whose key is no longer valid. */
  endOf(caller: Caller): void {
    for (const [socket, whose] of [...this.#open]) {
      if (whose === caller) socket.end(CLOSE.forbidden, 'the API key is no longer valid');
    }
  }

  #upgrade(incoming: IncomingRequest, context: us_socket_context_t): void {
    try {
      this.#begin(incoming, context);
    } catch (error) {
      refuseUpgrade(this.#parts, incoming, error, 'a WebSocket to a workload');
    }
  }

  #begin(incoming: IncomingRequest, context: us_socket_context_t): void {
    const { access, engineFor, traffic, slots } = this.#parts;
    const { response, request, requestId } = incoming;
    const caller = admitUpgrade(this.#parts, incoming, AGENT_SCOPE, 'Access to guest agents');
    const head = readGuestHead(request, access, requestId);
    if (head.target.startsWith(DAEMON_ONLY)) throw new VolantError('ROUTE_NOT_FOUND');
    const handshake = handshakeOf(request, context);
    const options = {
      requestId,
      extraHeaders: extraHeadersFor(access, request),
      withoutBody: false,
    };
    const { agents } = engineFor(caller);
    const agent = agents.connection(decoded(request.getParameter(0)));
    const leave = slots.take();
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
      socket = new GuestSocket(agent.open(), head, handshake.protocol, this.#limits, events);
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
      // Messages are relayed without compression, the only extension that clients offer.
      const answer = { ...handshake, protocol, extensions: '' };
      response.cork(() => acceptUpgrade<Data>(this.#parts, incoming, answer, { socket }));
    };
  }
}
