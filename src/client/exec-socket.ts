// client: a WebSocket to one exec: its output as it comes, its input, its end. sockets.ts opens it.

import type { Exec } from '../schema/exec.ts';
import { ConnectionError } from './errors.ts';
import type { SocketHandlers, WebSocketLike } from './web-socket.ts';

export interface ExecSocketOptions {
  /** Numbers of the first bytes of output; 0 by default. */
  readonly stdout?: number;
  readonly stderr?: number;
  /** Called in order. An offset that is larger than expected means that bytes were lost before. */
  readonly onOutput: (stream: 'stdout' | 'stderr', bytes: Uint8Array, offset: number) => void;
  /** Standard input has taken this many bytes of this connection so far; it takes no more if `isOpen` is false. */
  readonly onTaken?: (takenBytes: number, isOpen: boolean) => void;
  readonly signal?: AbortSignal;
}

export interface ExecConnection {
  /** The daemon closes a connection with much input that the program does not read: see `onTaken`. */
  write(bytes: Uint8Array<ArrayBuffer>): void;
  closeInput(): void;
  resize(rows: number, columns: number): void;
  /** SIGINT, INT or 2, to the process group. */
  kill(signal: string): void;
  /** Stops and continues reading, where the class of the WebSocket can. The program waits meanwhile. */
  pause(): void;
  resume(): void;
  /** Disconnects; the program continues. */
  close(): void;
  /** The exec after its end; rejects if the connection was lost or closed before. */
  readonly ended: Promise<Exec>;
}

const STREAMS = { 1: 'stdout', 2: 'stderr' } as const;

/** Opens it with `connect`. Resolves when it is connected. */
export function openExecSocket(
  connect: (handlers: SocketHandlers) => WebSocketLike,
  { stdout = 0, stderr = 0, onOutput, onTaken, signal }: ExecSocketOptions,
): Promise<ExecConnection> {
  return new Promise((resolve, reject) => {
    const next = { stdout, stderr };
    let settle: (exec: Exec) => void = () => undefined;
    let fail: (error: Error) => void = () => undefined;
    let refusal: Error | undefined;
    const ended = new Promise<Exec>((resolveEnded, rejectEnded) => {
      settle = resolveEnded;
      fail = rejectEnded;
    });
    // If it was never opened, the rejection of this call reports it.
    ended.catch(() => undefined);
    const received = (text: string) => {
      const message = JSON.parse(text) as Message;
      if (message.type === 'position') next[message.stream] = message.offset;
      else if (message.type === 'stdin') onTaken?.(message.taken_bytes, message.open);
      else if (message.type === 'end') settle(message.exec);
      else if (message.type === 'error') refusal = new ConnectionError(message.error);
    };
    const send = (value: object) => socket.send(JSON.stringify(value));
    const socket = connect({
      onOpen: () =>
        resolve({
          ended,
          write: (bytes) => socket.send(bytes),
          closeInput: () => send({ type: 'stdin_close' }),
          resize: (rows, columns) => send({ type: 'resize', rows, columns }),
          kill: (name) => send({ type: 'signal', signal: name }),
          pause: () => socket.pause?.(),
          resume: () => socket.resume?.(),
          close: () => socket.close(1000),
        }),
      onMessage: (data) => {
        if (typeof data === 'string') return received(data);
        const bytes = new Uint8Array(data as ArrayBuffer);
        const stream = STREAMS[bytes[0] as 1 | 2];
        onOutput(stream, bytes.subarray(1), next[stream]);
        next[stream] += bytes.length - 1;
      },
      onEnd: (error, reason) => {
        signal?.removeEventListener('abort', onAbort);
        const why = `The connection to the exec was closed${reason === '' ? '' : `: ${reason}`}`;
        const trouble = refusal ?? error ?? new ConnectionError(why);
        reject(trouble);
        fail(trouble);
      },
    });
    const onAbort = () => socket.close();
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) onAbort();
  });
}

type Message =
  | { readonly type: 'position'; readonly stream: 'stdout' | 'stderr'; readonly offset: number }
  | { readonly type: 'stdin'; readonly taken_bytes: number; readonly open: boolean }
  | { readonly type: 'end'; readonly exec: Exec }
  | { readonly type: 'error'; readonly error: string };
