// http: the WebSockets of a VM: its console and the log of its workload. Whether somebody may look is
// answered before the upgrade, as JSON; what happens after it is told by close codes.

import { LIMITS } from '../config.ts';
import type { Engine } from '../engine/engine-api.ts';
import type { StoredEvent } from '../engine/records.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import type { Scope } from '../lib/scopes.ts';
import { type Access, extraHeadersFor } from './access.ts';
import { ANYBODY, type Caller, requireScope } from './callers.ts';
import type { Connections } from './connections.ts';
import { decoded } from './exchange.ts';
import { type LogReader, LogStream } from './log-stream.ts';
import type { GuardedRoutes, GuardedWebSocket } from './origin-guard.ts';
import { Query } from './query.ts';
import { errorReply, writeReply } from './reply.ts';
import { REQUEST_ID_HEADER } from './request-id.ts';
import { CLOSE, type SocketData, type SocketPlaces, SocketViewer } from './socket-viewer.ts';
import type { Traffic } from './traffic.ts';
import type { HttpRequest, HttpResponse, us_socket_context_t } from './uws.ts';

export interface SocketLimits {
  readonly backlogBytesMax: number;
}

export interface WebSocketParts {
  readonly engineFor: (caller: Caller) => SocketEngine;
  readonly events: Engine['events'];
  readonly access: Access;
  readonly traffic: Traffic;
  readonly connections: Pick<Connections, 'becameWebSocket'>;
  readonly places: SocketPlaces;
  readonly log: Logger;
  /** For tests. */
  readonly limits?: SocketLimits | undefined;
}

/** A request that has come through the guard. */
interface Asked {
  readonly response: HttpResponse;
  readonly request: HttpRequest;
  readonly requestId: string;
}

type SocketEngine = Pick<Engine, 'agents' | 'consoles'>;

/** Gives a viewer what it came for. Throws what is answered instead of the upgrade. */
type Attach = (engine: SocketEngine, viewer: SocketViewer, vmName: string, query: Query) => void;

const PATHS = { console: '/ws/v1/vms/:name/console', logs: '/ws/v1/vms/:name/logs' } as const;

/** Who sees a console types, too. */
export const SOCKET_SCOPES: Readonly<Record<keyof typeof PATHS, Scope>> = {
  console: 'operate',
  logs: 'read',
};

/** After these a guest says nothing more; a restart is a stop first. */
const ENDS = ['VM_STOPPED', 'VM_CRASHED', 'VM_DELETED'];

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
    // What asks for no upgrade ends here.
    for (const path of Object.values(PATHS)) {
      app.get(path, (response, request, requestId) =>
        this.#refusePlain({ response, request, requestId }),
      );
    }
  }

  /** Ends all of them; clients come back when the daemon does. */
  drain(): void {
    this.#unsubscribe();
    for (const viewer of [...this.#viewers.keys()]) {
      viewer.close(CLOSE.goingAway, 'the daemon ends');
    }
  }

  /** Ends those of one who may not ask any more. */
  endOf(caller: Caller): void {
    for (const [viewer, whose] of [...this.#viewers]) {
      if (whose === caller) viewer.close(CLOSE.forbidden, 'the API key is not good any more');
    }
  }

  #behaviour(kind: keyof typeof PATHS, attach: Attach): GuardedWebSocket<SocketData> {
    return {
      maxPayloadLength: LIMITS.consoleInputBytesMax,
      // Ours is the first to be reached: the server would drop what it cannot send in silence.
      maxBackpressure: this.#limits.backlogBytesMax * 4,
      upgrade: (response, request, context, requestId) =>
        this.#upgrade({ response, request, requestId }, context, { kind, attach }),
      open: (socket) => socket.getUserData().viewer.opened(socket),
      message: (socket, message) => socket.getUserData().viewer.received(message),
      close: (socket) => socket.getUserData().viewer.gone(),
    };
  }

  #upgrade(
    asked: Asked,
    context: us_socket_context_t,
    { kind, attach }: { readonly kind: keyof typeof PATHS; readonly attach: Attach },
  ): void {
    const { access, traffic, engineFor } = this.#parts;
    const { response, request, requestId } = asked;
    let caller = ANYBODY;
    let leave: () => void = () => undefined;
    const viewer = new SocketViewer(this.#limits.backlogBytesMax, () => {
      leave();
      this.#viewers.delete(viewer);
    });
    try {
      traffic.admit();
      if (access.configured) caller = access.check(request, response, true);
      requireScope(caller, SOCKET_SCOPES[kind], `The ${kind} of a VM`);
      leave = this.#parts.places.take();
      const query = new Query(request.getQuery() ?? '');
      attach(engineFor(caller), viewer, decoded(request.getParameter(0)), query);
    } catch (error) {
      leave();
      this.#refuse(asked, error);
      return;
    }
    this.#viewers.set(viewer, caller);
    this.#parts.connections.becameWebSocket();
    // The server would begin an answer of its own with the first header.
    response.writeStatus('101 Switching Protocols');
    response.writeHeader(REQUEST_ID_HEADER, requestId);
    response.upgrade<SocketData>(
      { viewer },
      request.getHeader('sec-websocket-key'),
      request.getHeader('sec-websocket-protocol'),
      request.getHeader('sec-websocket-extensions'),
      context,
    );
  }

  /** Who has no key is told that first, as everywhere. */
  #refusePlain(asked: Asked): void {
    const { access } = this.#parts;
    const { response, request } = asked;
    try {
      if (access.configured) access.check(request, response, true);
      throw new VolantError('FEATURE_UNAVAILABLE', 'This is a WebSocket');
    } catch (error) {
      this.#refuse(asked, error);
    }
  }

  #refuse({ response, request, requestId }: Asked, thrown: unknown): void {
    const { access, log } = this.#parts;
    const { error, ...reply } = errorReply(thrown);
    const facts = { request_id: requestId, code: error.code, err: error };
    log.debug(facts, 'a WebSocket was refused');
    const extraHeaders = extraHeadersFor(access, request);
    const options = { requestId, extraHeaders, withoutBody: false, closeConnection: true };
    writeReply(response, reply, options);
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

  /** null when the agent cannot be asked now: that is told by a close code. */
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
