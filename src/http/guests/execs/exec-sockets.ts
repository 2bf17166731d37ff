// http, guests: WebSockets to execs, GET /ws/v1/vms/{name}/exec/{id}. This file checks the caller, the exec and the number of
// sockets; exec-socket.ts transfers messages.

import { LIMITS } from '../../../config/limits.ts';
import type { Engine } from '../../../engine/engine-api.ts';
import type { Scope } from '../../../lib/scopes.ts';
import type { Caller } from '../../access/callers.ts';
import type { GuardedRoutes } from '../../access/origin-guard.ts';
import { decoded, type IncomingRequest } from '../../exchange/exchange.ts';
import { Query } from '../../exchange/query.ts';
import {
  acceptUpgrade,
  admitUpgrade,
  handshakeOf,
  refusePlain,
  refuseUpgrade,
  type UpgradeParts,
} from '../../streams/socket-upgrade.ts';
import { CLOSE, type SocketSlots } from '../../streams/socket-viewer.ts';
import type { us_socket_context_t } from '../../uws.ts';
import { ExecSocket, type ExecSocketData } from './exec-socket.ts';

export interface ExecSocketsParts extends UpgradeParts {
  readonly engineFor: (caller: Caller) => Pick<Engine, 'execs'>;
  readonly slots: SocketSlots;
}

/** What is refused, in the log. */
const WHAT = 'a WebSocket to an exec';

const PATH = '/ws/v1/vms/:name/exec/:id';

/** A client that is connected may type. */
export const EXEC_SOCKET_SCOPE: Scope = 'operate';

export class ExecSockets {
  readonly #parts: ExecSocketsParts;
  readonly #open = new Map<ExecSocket, Caller>();

  constructor(parts: ExecSocketsParts) {
    this.#parts = parts;
  }

  bind(app: GuardedRoutes): void {
    app.ws<ExecSocketData>(PATH, {
      maxPayloadLength: LIMITS.execMessageBytesMax,
      // Never reached: at this bound the server would drop messages silently.
      maxBackpressure: LIMITS.execOutputBacklogBytesMax * 8,
      upgrade: (response, request, context, requestId) =>
        this.#upgrade({ response, request, requestId }, context),
      open: (client) => client.getUserData().socket.opened(client),
      message: (client, message, isBinary) =>
        client.getUserData().socket.received(message, isBinary),
      drain: (client) => client.getUserData().socket.drained(),
      close: (client) => client.getUserData().socket.gone(),
    });
    app.get(PATH, (response, request, requestId) =>
      refusePlain(this.#parts, { response, request, requestId }, WHAT),
    );
  }

  /** Closes all sockets; clients connect again after a restart of the daemon. */
  drain(): void {
    for (const socket of [...this.#open.keys()]) socket.close(CLOSE.goingAway, 'the daemon ends');
  }

  /** Closes the sockets of one caller whose key is no longer valid. */
  endOf(caller: Caller): void {
    for (const [socket, whose] of [...this.#open]) {
      if (whose === caller) socket.close(CLOSE.forbidden, 'the API key is no longer valid');
    }
  }

  #upgrade(incoming: IncomingRequest, context: us_socket_context_t): void {
    const { slots, engineFor } = this.#parts;
    const { request } = incoming;
    let leave: () => void = () => undefined;
    let socket: ExecSocket;
    let caller: Caller;
    try {
      caller = admitUpgrade(this.#parts, incoming, EXEC_SOCKET_SCOPE, 'A WebSocket to an exec');
      const query = new Query(request.getQuery() ?? '');
      const target = {
        vmName: decoded(request.getParameter(0) ?? ''),
        id: decoded(request.getParameter(1) ?? ''),
        stdout: query.count('stdout') ?? 0,
        stderr: query.count('stderr') ?? 0,
      };
      query.throwProblems();
      leave = slots.take();
      socket = new ExecSocket(engineFor(caller).execs, target, () => {
        leave();
        this.#open.delete(socket);
      });
    } catch (error) {
      leave();
      refuseUpgrade(this.#parts, incoming, error, WHAT);
      return;
    }
    this.#open.set(socket, caller);
    acceptUpgrade<ExecSocketData>(this.#parts, incoming, handshakeOf(request, context), { socket });
  }
}
