// client: the WebSockets of a VM: the log of its workload, its console, and programs that run in it. The WebSocket class is
// passed in: the global one of Node 22 and browsers, or the class of the package ws.

import { ConnectionError, RequestTimeoutError } from './errors.ts';
import { type ExecConnection, type ExecSocketOptions, openExecSocket } from './exec-socket.ts';
import { type Http, path } from './http.ts';
import type { LogLine } from './types.ts';
import type { SocketHandlers, WebSocketConstructor, WebSocketLike } from './web-socket.ts';

export type { WebSocketConstructor, WebSocketLike } from './web-socket.ts';

export interface LogOptions {
  /** Start with this many of the lines that the agent has stored; with all of them by default. */
  readonly tail?: number;
  /** End after this much time without a line; without it, lines follow as long as the VM runs. */
  readonly quietMs?: number;
  readonly signal?: AbortSignal;
}

export interface ConsoleOptions {
  /** Called in order with the output of the guest, from the time of the call on. */
  readonly onOutput: (bytes: Uint8Array) => void;
  readonly signal?: AbortSignal;
}

export interface Console {
  write(data: string | Uint8Array<ArrayBuffer>): void;
  /** Detaches; the guest does not notice. */
  close(): void;
  /** Resolves when either side closed the console, with the reason if there is one; rejects if the connection broke. */
  readonly closed: Promise<string>;
}

/** Maximum number of unread lines; the stream ends if the reader is slower than that. */
const LINES_WAITING_MAX = 100_000;

/** Close codes of RFC 6455, 7.4.1, of an orderly end. */
const NORMAL_CLOSURES = [1000, 1001];

export class Sockets {
  readonly #http: Http;
  readonly #WebSocket: WebSocketConstructor | undefined;

  constructor(http: Http, given: WebSocketConstructor | undefined) {
    this.#http = http;
    this.#WebSocket = given ?? globalWebSocket();
  }

  /** Lines of a VM's workload, oldest first, until the caller leaves the loop, the signal aborts or the VM ends. */
  async *logs(
    name: string,
    { tail, quietMs, signal }: LogOptions = {},
  ): AsyncGenerator<LogLine, void, undefined> {
    const query = tail === undefined ? '' : `?tail=${tail}`;
    const queue = new LineQueue();
    let quiet: ReturnType<typeof setTimeout> | undefined;
    const heard = () => {
      clearTimeout(quiet);
      if (queue.hasEnded) return;
      if (quietMs !== undefined) quiet = setTimeout(() => queue.end(), quietMs);
    };
    const socket = this.#connect(`${path`/ws/v1/vms/${name}/logs`}${query}`, {
      onOpen: heard,
      onMessage: (data) => {
        heard();
        queue.push(JSON.parse(textOf(data)) as LogLine);
      },
      onEnd: (error) => queue.end(error),
    });
    const onAbort = () => {
      queue.end();
      socket.close();
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) onAbort();
    try {
      yield* queue.lines();
    } finally {
      queue.end();
      clearTimeout(quiet);
      signal?.removeEventListener('abort', onAbort);
      socket.close();
    }
  }

  /** Resolves when the console is connected. */
  console(name: string, { onOutput, signal }: ConsoleOptions): Promise<Console> {
    return new Promise((resolve, reject) => {
      let endClosed: (error: Error | undefined, reason: string) => void = () => undefined;
      const closed = new Promise<string>((resolveClosed, rejectClosed) => {
        endClosed = (error, reason) => (error ? rejectClosed(error) : resolveClosed(reason));
      });
      // If the console was never opened, the rejection of this call reports it.
      closed.catch(() => undefined);
      const socket = this.#connect(path`/ws/v1/vms/${name}/console`, {
        onOpen: () =>
          resolve({ closed, write: (data) => socket.send(data), close: () => socket.close(1000) }),
        onMessage: (data) => onOutput(bytesOf(data)),
        onEnd: (error, reason) => {
          signal?.removeEventListener('abort', onAbort);
          reject(error ?? new ConnectionError(`The console was closed immediately: ${reason}`));
          endClosed(error, reason);
        },
      });
      const onAbort = () => socket.close();
      signal?.addEventListener('abort', onAbort, { once: true });
      if (signal?.aborted) onAbort();
    });
  }

  /** Connects to an exec. It can be done again, from the offsets behind the last bytes that came. */
  exec(name: string, id: string, options: ExecSocketOptions): Promise<ExecConnection> {
    const { stdout = 0, stderr = 0 } = options;
    const socketPath = `${path`/ws/v1/vms/${name}/exec/${id}`}?stdout=${stdout}&stderr=${stderr}`;
    return openExecSocket((handlers) => this.#connect(socketPath, handlers), options);
  }

  #connect(socketPath: string, handlers: SocketHandlers): WebSocketLike {
    if (this.#WebSocket === undefined) {
      throw new TypeError(
        'This Node has no WebSocket: pass the class of the package ws to createClient',
      );
    }
    const { endpoint } = this.#http;
    const socket = new this.#WebSocket(endpoint.webSocketUrl(socketPath), {
      headers: this.#http.headers(),
      ...(endpoint.ca === undefined ? {} : { ca: endpoint.ca }),
    });
    listen(socket, endpoint.baseUrl, this.#http.timeoutMs, handlers);
    return socket;
  }
}

/** A connection that is not made within the timeout ends with RequestTimeoutError. */
function listen(
  socket: WebSocketLike,
  baseUrl: string,
  timeoutMs: number,
  handlers: SocketHandlers,
): void {
  let trouble: Error | undefined;
  const timer = setTimeout(() => {
    trouble = new RequestTimeoutError(timeoutMs);
    socket.close();
  }, timeoutMs);
  socket.binaryType = 'arraybuffer';
  socket.onopen = () => {
    clearTimeout(timer);
    handlers.onOpen();
  };
  socket.onmessage = ({ data }: { data: unknown }) => handlers.onMessage(data);
  socket.onerror = ({ message, error }: { message?: string; error?: unknown }) => {
    const why = message ?? 'the WebSocket failed';
    trouble ??= new ConnectionError(`${baseUrl}: ${why}`, error);
  };
  socket.onclose = ({ code, reason }: { code: number; reason: string }) => {
    clearTimeout(timer);
    if (trouble === undefined && !NORMAL_CLOSURES.includes(code) && code !== 1005) {
      const why = `The WebSocket was closed: ${reason || `code ${code}`}`;
      trouble = new ConnectionError(why, undefined, code);
    }
    handlers.onEnd(trouble, reason);
  };
}

class LineQueue {
  readonly #lines: LogLine[] = [];
  #end: { readonly error: Error | undefined } | undefined;
  #wake: () => void = () => undefined;

  /** Nothing is taken after the end: what comes behind a line that is missing would hide the gap. */
  push(line: LogLine): void {
    if (this.#end !== undefined) return;
    if (this.#lines.length >= LINES_WAITING_MAX) {
      this.end(new ConnectionError(`More than ${LINES_WAITING_MAX} lines were not read in time`));
      return;
    }
    this.#lines.push(line);
    this.#wake();
  }

  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  end(error?: Error): void {
    this.#end ??= { error };
    this.#wake();
  }

  async *lines(): AsyncGenerator<LogLine, void, undefined> {
    for (;;) {
      const batch = this.#lines.splice(0);
      yield* batch;
      if (batch.length > 0) continue;
      if (this.#end?.error !== undefined) throw this.#end.error;
      if (this.#end !== undefined) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

function globalWebSocket(): WebSocketConstructor | undefined {
  // The type of a browser's WebSocket allows less than that of the package ws; browsers get no options.
  return (globalThis as unknown as { WebSocket?: WebSocketConstructor }).WebSocket;
}

function textOf(data: unknown): string {
  return typeof data === 'string' ? data : new TextDecoder().decode(bytesOf(data));
}

function bytesOf(data: unknown): Uint8Array {
  return data instanceof ArrayBuffer
    ? new Uint8Array(data)
    : new TextEncoder().encode(String(data));
}
