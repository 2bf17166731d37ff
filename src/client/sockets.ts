// client: the two WebSockets of a VM, its workload's log and its console. The WebSocket itself comes
// from outside: the global one of Node 22 and browsers, or the class of the package ws.

import { ConnectionError } from './errors.ts';
import { type Http, path } from './http.ts';
import type { LogLine } from './types.ts';

/** What is used of the standard's WebSocket. */
export interface WebSocketLike {
  binaryType: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
}

/** Takes headers in its second argument, as the class of ws and the global one of Node do. */
export type WebSocketConstructor = new (
  url: string,
  options: { headers: Record<string, string>; ca?: string },
) => WebSocketLike;

export interface LogOptions {
  /** Begin with so many of the lines that the agent kept; with all of them unless told. */
  readonly tail?: number;
  /** End when no line came for so long; without it the lines go on as long as the VM runs. */
  readonly quietMs?: number;
  readonly signal?: AbortSignal;
}

export interface ConsoleOptions {
  /** What the guest prints. Called in order, from the moment of the call on. */
  readonly onOutput: (bytes: Uint8Array) => void;
  readonly signal?: AbortSignal;
}

export interface Console {
  write(data: string | Uint8Array<ArrayBuffer>): void;
  /** Leaves; the guest does not notice. */
  close(): void;
  /** Resolves when either side closed it, with the reason if one was given; rejects when it broke. */
  readonly closed: Promise<string>;
}

/** Lines that wait for a reader that is slower than the workload writes; with more the stream ends. */
const LINES_WAITING_MAX = 100_000;

/** Close codes of RFC 6455, 7.4.1, that end a stream in an orderly way. */
const NORMAL_CLOSURES = [1000, 1001];

export class Sockets {
  readonly #http: Http;
  readonly #WebSocket: WebSocketConstructor | undefined;

  constructor(http: Http, given: WebSocketConstructor | undefined) {
    this.#http = http;
    this.#WebSocket = given ?? globalWebSocket();
  }

  /** Lines of a VM's workload, oldest first, until the loop is left, the signal aborts or the VM ends. */
  async *logs(
    name: string,
    { tail, quietMs, signal }: LogOptions = {},
  ): AsyncGenerator<LogLine, void, undefined> {
    const query = tail === undefined ? '' : `?tail=${tail}`;
    const queue = new LineQueue();
    let quiet: ReturnType<typeof setTimeout> | undefined;
    const heard = () => {
      clearTimeout(quiet);
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
      // Who never got the console hears of it by the rejection of this call.
      closed.catch(() => undefined);
      const socket = this.#connect(path`/ws/v1/vms/${name}/console`, {
        onOpen: () =>
          resolve({ closed, write: (data) => socket.send(data), close: () => socket.close(1000) }),
        onMessage: (data) => onOutput(bytesOf(data)),
        onEnd: (error, reason) => {
          signal?.removeEventListener('abort', onAbort);
          reject(error ?? new ConnectionError(`The console was closed at once: ${reason}`));
          endClosed(error, reason);
        },
      });
      const onAbort = () => socket.close();
      signal?.addEventListener('abort', onAbort, { once: true });
      if (signal?.aborted) onAbort();
    });
  }

  #connect(socketPath: string, handlers: SocketHandlers): WebSocketLike {
    if (this.#WebSocket === undefined) {
      throw new TypeError(
        'This Node has no WebSocket: give createClient the class of the package ws',
      );
    }
    const { endpoint } = this.#http;
    const socket = new this.#WebSocket(endpoint.webSocketUrl(socketPath), {
      headers: this.#http.headers(),
      ...(endpoint.ca === undefined ? {} : { ca: endpoint.ca }),
    });
    listen(socket, endpoint.baseUrl, handlers);
    return socket;
  }
}

interface SocketHandlers {
  readonly onOpen: () => void;
  readonly onMessage: (data: unknown) => void;
  /** Once. No error when it was closed in an orderly way. */
  readonly onEnd: (error: Error | undefined, reason: string) => void;
}

function listen(socket: WebSocketLike, baseUrl: string, handlers: SocketHandlers): void {
  let trouble: Error | undefined;
  socket.binaryType = 'arraybuffer';
  socket.onopen = handlers.onOpen;
  socket.onmessage = ({ data }: { data: unknown }) => handlers.onMessage(data);
  socket.onerror = ({ message, error }: { message?: string; error?: unknown }) => {
    const why = message ?? 'the WebSocket failed';
    trouble = new ConnectionError(`${baseUrl}: ${why}`, error);
  };
  socket.onclose = ({ code, reason }: { code: number; reason: string }) => {
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

  push(line: LogLine): void {
    if (this.#lines.length >= LINES_WAITING_MAX) {
      this.end(new ConnectionError(`More than ${LINES_WAITING_MAX} lines were not read in time`));
      return;
    }
    this.#lines.push(line);
    this.#wake();
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
  return (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
}

function textOf(data: unknown): string {
  return typeof data === 'string' ? data : new TextDecoder().decode(bytesOf(data));
}

function bytesOf(data: unknown): Uint8Array {
  return data instanceof ArrayBuffer
    ? new Uint8Array(data)
    : new TextEncoder().encode(String(data));
}
