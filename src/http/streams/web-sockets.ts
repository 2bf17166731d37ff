// http, streams: the WebSockets of a VM: its console and the log of its workload. Refusals are JSON answers before the
// upgrade; later ends are close codes.

import { LIMITS } from '../../config/limits.ts';
import type { Engine } from '../../engine/engine-api.ts';
import type { StoredEvent } from '../../engine/records.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Scope } from '../../lib/scopes.ts';
import type { Caller } from '../access/callers.ts';
import type { GuardedRoutes, GuardedWebSocket } from '../access/origin-guard.ts';
import { decoded, type IncomingRequest } from '../exchange/exchange.ts';
import { Query } from '../exchange/query.ts';
import type { us_socket_context_t } from '../uws.ts';
import { type LogReader, LogStream } from './log-stream.ts';
import {
  acceptUpgrade,
  admitUpgrade,
  handshakeOf,
  refusePlain,
  refuseUpgrade,
  type UpgradeParts,
} from './socket-upgrade.ts';
import { CLOSE, type SocketData, type SocketSlots, SocketViewer } from './socket-viewer.ts';

export interface SocketLimits {
  readonly backlogBytesMax: number;
}

export interface WebSocketParts extends UpgradeParts {
  readonly engineFor: (caller: Caller) => SocketEngine;
  readonly events: Engine['events'];
  readonly slots: SocketSlots;
  /** For tests. */
  readonly limits?: SocketLimits | undefined;
}

type SocketEngine = Pick<Engine, 'agents' | 'consoles'>;

/** Connects a viewer to its source. Throws the error that is answered instead of the upgrade. */
type Attach = (engine: SocketEngine, viewer: SocketViewer, vmName: string, query: Query) => void;

const PATHS = { console: '/ws/v1/vms/:name/console', logs: '/ws/v1/vms/:name/logs' } as const;

/** What is refused, in the log. */
const WHAT = 'a WebSocket';

/** A viewer of a console may type, too. */
export const SOCKET_SCOPES: Readonly<Record<keyof typeof PATHS, Scope>> = {
  console: 'operate',
  logs: 'read',
};

/** After these events a guest prints nothing more. A restart begins with a stop. */
const ENDS = ['VM_STOPPED', 'VM_EXITED', 'VM_CRASHED', 'VM_DELETED'];

export class WebSockets {
  readonly #parts: WebSocketParts;
  readonly #limits: SocketLimits;
  readonly #viewers = new Map<SocketViewer, Caller>();
  readonly #logs = new Map<string, Set<LogStream>>();
  readonly #unsubscribe: () => void;

  constructor(parts: WebSocketParts) {
    this.#parts = parts;
    this.#limits = parts.limits ?? {
      backlogBytesMax: LIMITS.webSocketBacklogBytesMax,
    };
    this.#unsubscribe = parts.events.subscribe((events) => this.#endLogs(events));
  }

  bind(app: GuardedRoutes): void {
    app.ws(
      PATHS.console,
      this.#behaviour('console', (engine, viewer, vmName) =>
        this.#attachConsole(engine, viewer, vmName),
      ),
    );
    app.ws(
      PATHS.logs,
      this.#behaviour('logs', (...who) => this.#attachLog(...who)),
    );
    // Requests without an upgrade reach these routes.
    for (const path of Object.values(PATHS)) {
      app.get(path, (response, request, requestId) =>
        refusePlain(this.#parts, { response, request, requestId }, WHAT),
      );
    }
  }

  /** Closes all sockets; clients reconnect after a restart of the daemon. */
  drain(): void {
    this.#unsubscribe();
    for (const viewer of [...this.#viewers.keys()]) {
      viewer.close(CLOSE.goingAway, 'the daemon ends');
    }
  }

  /** Closes the sockets of one caller whose key is no longer valid. */
  endOf(caller: Caller): void {
    for (const [viewer, whose] of [...this.#viewers]) {
      if (whose === caller) viewer.close(CLOSE.forbidden, 'the API key is no longer valid');
    }
  }

  #behaviour(kind: keyof typeof PATHS, attach: Attach): GuardedWebSocket<SocketData> {
    return {
      maxPayloadLength: LIMITS.consoleInputBytesMax,
      // backlogBytesMax is reached first: at this bound the server would drop messages silently.
      maxBackpressure: this.#limits.backlogBytesMax * 4,
      upgrade: (response, request, context, requestId) =>
        this.#upgrade({ response, request, requestId }, context, { kind, attach }),
      open: (socket) => socket.getUserData().viewer.opened(socket),
      message: (socket, message) => socket.getUserData().viewer.received(message),
      close: (socket) => socket.getUserData().viewer.gone(),
    };
  }

  #upgrade(
    incoming: IncomingRequest,
    context: us_socket_context_t,
    { kind, attach }: { readonly kind: keyof typeof PATHS; readonly attach: Attach },
  ): void {
    const { engineFor, slots } = this.#parts;
    const { request } = incoming;
    let caller: Caller;
    let leave: () => void = () => undefined;
    const viewer = new SocketViewer(this.#limits.backlogBytesMax, () => {
      leave();
      this.#viewers.delete(viewer);
    });
    try {
      caller = admitUpgrade(this.#parts, incoming, SOCKET_SCOPES[kind], `The ${kind} of a VM`);
      leave = slots.take();
      const query = new Query(request.getQuery() ?? '');
      attach(engineFor(caller), viewer, decoded(request.getParameter(0)), query);
    } catch (error) {
      leave();
      refuseUpgrade(this.#parts, incoming, error, WHAT);
      return;
    }
    this.#viewers.set(viewer, caller);
    acceptUpgrade<SocketData>(this.#parts, incoming, handshakeOf(request, context), { viewer });
  }

  #attachConsole({ consoles }: SocketEngine, viewer: SocketViewer, vmName: string): void {
    const session = consoles.attach(vmName, {
      onOutput: (bytes) => viewer.send(bytes),
      onEnd: (reason) => {
        if (reason === 'ended') viewer.close(CLOSE.normal, 'the VM has ended');
        else viewer.close(CLOSE.failed, 'the console could not be reached');
      },
    });
    viewer.serve({
      onMessage: (bytes) => {
        const taken = session.write(Uint8Array.from(bytes));
        if (!taken) viewer.close(CLOSE.tryLater, 'the guest does not read its console');
      },
      onGone: () => session.leave(),
    });
  }

  #attachLog(engine: SocketEngine, viewer: SocketViewer, vmName: string, query: Query): void {
    const tail = query.count('tail');
    query.throwProblems();
    const stream = this.#openLog(engine, viewer, vmName);
    if (stream === null) return;
    const reader: LogReader = {
      onLine: ({ stream, line, timestamp }) =>
        viewer.send(JSON.stringify({ name: vmName, stream, line, timestamp })),
      onEnd: (code, reason) => viewer.close(code, reason),
    };
    const log = new LogStream(reader, stream, { tail });
    const logs = this.#logs.get(vmName) ?? new Set();
    this.#logs.set(vmName, logs.add(log));
    viewer.serve({
      onMessage: () => undefined,
      onGone: () => {
        log.stop();
        logs.delete(log);
        if (logs.size === 0) this.#logs.delete(vmName);
      },
    });
  }

  /** null if the agent cannot be connected now: the viewer was closed with a code. */
  #openLog({ agents }: SocketEngine, viewer: SocketViewer, vmName: string) {
    try {
      return agents.connection(vmName).open();
    } catch (error) {
      const isLater =
        error instanceof VolantError && ['AGENT_UNREACHABLE', 'OVERLOADED'].includes(error.code);
      if (!isLater) throw error;
      queueMicrotask(() => viewer.close(CLOSE.tryLater, error.message));
      return null;
    }
  }

  #endLogs(events: readonly StoredEvent[]): void {
    for (const { body } of events) {
      if (!ENDS.includes(body.type)) continue;
      for (const log of [...(this.#logs.get(body.name) ?? [])]) log.vmEnded();
    }
  }
}
