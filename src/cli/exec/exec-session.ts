// cli, exec: one program in a guest at this terminal: its output and input, until its end. A connection that is lost, by a
// restart of the daemon for example, is made again and continues where it was.

import { setTimeout as pause } from 'node:timers/promises';
import { ApiError, ConnectionError } from '../../client/errors.ts';
import type { ExecConnection } from '../../client/exec-socket.ts';
import type { Exec } from '../../client/types.ts';
import type { Shell } from '../shell.ts';

/** Input that was sent and not taken by the program; more is not read. */
const UNTAKEN_BYTES_MAX = 128 * 1024;

/** Input of one message. */
const MESSAGE_BYTES_MAX = 32 * 1024;

/** How long a lost connection is tried again, and the pause between two tries. */
const RECONNECT_FOR_MS = 60_000;
const RECONNECT_PAUSE_MS = 500;

export interface SessionOptions {
  readonly vmName: string;
  readonly exec: Exec;
  /** Standard input of volar goes to the program. */
  readonly interactive: boolean;
}

export class ExecSession {
  readonly #shell: Shell;
  readonly #options: SessionOptions;
  readonly #next = { stdout: 0, stderr: 0 };
  #connection: ExecConnection | null = null;
  /** Input that the program has not taken, from this offset of all input on. */
  #untaken = Buffer.alloc(0);
  #untakenFrom = 0;
  /** Offset of the input at which the current connection began, and up to which it was sent. */
  #connectedFrom = 0;
  #sentTo = 0;
  #inputHasEnded = false;
  /** The end was sent on the current connection. */
  #hasClosed = false;
  #waitsForDrain = 0;
  #isLeft = false;

  constructor(shell: Shell, options: SessionOptions) {
    this.#shell = shell;
    this.#options = options;
  }

  /** The exec when it has ended, and its output is written. */
  async run(): Promise<Exec> {
    const { interactive } = this.#options;
    const { stdin, stdout } = this.#shell.streams;
    const isTerminal = this.#options.exec.tty && interactive && stdin.isTTY === true;
    const onData = (chunk: Buffer) => this.#typed(chunk);
    const onEnd = () => this.#ended();
    const onResize = () => this.#resize();
    // Raw mode: every key goes to the program, including Ctrl-C.
    if (isTerminal) stdin.setRawMode?.(true);
    if (interactive) stdin.on('data', onData).on('end', onEnd);
    if (this.#options.exec.tty) stdout.on('resize', onResize);
    try {
      return await this.#until();
    } finally {
      stdin.off('data', onData).off('end', onEnd);
      stdout.off('resize', onResize);
      if (isTerminal) stdin.setRawMode?.(false);
      // Otherwise standard input would keep the process alive.
      if (interactive) stdin.destroy();
    }
  }

  /** Sends a signal to the program. false if it is not connected. */
  kill(signal: string): boolean {
    this.#connection?.kill(signal);
    return this.#connection !== null;
  }

  /** Disconnects: run() rejects. What becomes of the program is up to the caller. */
  leave(): void {
    this.#isLeft = true;
    this.#connection?.close();
  }

  async #until(): Promise<Exec> {
    let lostAtMs: number | null = null;
    for (;;) {
      try {
        const connection = await this.#connect();
        lostAtMs = null;
        return await connection.ended;
      } catch (error) {
        this.#connection = null;
        if (this.#isLeft) throw error;
        lostAtMs ??= performance.now();
        if (!mayComeBack(error) || performance.now() - lostAtMs > RECONNECT_FOR_MS) throw error;
        await pause(RECONNECT_PAUSE_MS);
      }
    }
  }

  async #connect(): Promise<ExecConnection> {
    const { vmName, exec } = this.#options;
    const { client } = this.#shell;
    // What of the input was taken by a connection that was lost.
    const { stdin_bytes: taken } = await client.execs.get(vmName, exec.id);
    this.#drop(taken);
    this.#connectedFrom = this.#untakenFrom;
    this.#sentTo = this.#untakenFrom;
    this.#hasClosed = false;
    const connection = await client.sockets.exec(vmName, exec.id, {
      ...this.#next,
      onOutput: (stream, bytes, offset) => this.#output(stream, bytes, offset),
      onTaken: (count, isOpen) => {
        this.#drop(isOpen ? this.#connectedFrom + count : this.#sentTo);
        this.#send();
      },
    });
    this.#connection = connection;
    if (this.#isLeft) connection.close();
    this.#resize();
    this.#send();
    return connection;
  }

  #output(stream: 'stdout' | 'stderr', bytes: Uint8Array, offset: number): void {
    const lost = offset - this.#next[stream];
    if (lost > 0) this.#shell.note(`volar: ${lost} bytes of ${stream} are no longer kept`);
    this.#next[stream] = offset + bytes.length;
    const target = this.#shell.streams[stream];
    if (target.write(bytes)) return;
    // The program waits while the reader of volar's output does not read.
    this.#connection?.pause();
    this.#waitsForDrain += 1;
    target.once('drain', () => {
      this.#waitsForDrain -= 1;
      if (this.#waitsForDrain === 0) this.#connection?.resume();
    });
  }

  #typed(chunk: Buffer): void {
    this.#untaken = Buffer.concat([this.#untaken, chunk]);
    if (this.#untaken.length > UNTAKEN_BYTES_MAX) this.#shell.streams.stdin.pause();
    this.#send();
  }

  #ended(): void {
    this.#inputHasEnded = true;
    this.#send();
  }

  #drop(takenTo: number): void {
    const count = Math.min(Math.max(0, takenTo - this.#untakenFrom), this.#untaken.length);
    this.#untaken = this.#untaken.subarray(count);
    this.#untakenFrom += count;
    if (this.#untaken.length <= UNTAKEN_BYTES_MAX && this.#options.interactive) {
      this.#shell.streams.stdin.resume();
    }
  }

  #send(): void {
    const connection = this.#connection;
    if (connection === null) return;
    const end = this.#untakenFrom + this.#untaken.length;
    while (this.#sentTo < end) {
      const from = this.#sentTo - this.#untakenFrom;
      const part = this.#untaken.subarray(from, from + MESSAGE_BYTES_MAX);
      connection.write(Uint8Array.from(part));
      this.#sentTo += part.length;
    }
    if (!this.#inputHasEnded || this.#hasClosed) return;
    this.#hasClosed = true;
    connection.closeInput();
  }

  #resize(): void {
    const { rows, columns } = this.#shell.streams.stdout;
    if (!this.#options.exec.tty || rows === undefined || columns === undefined) return;
    if (rows > 0 && columns > 0) this.#connection?.resize(rows, columns);
  }
}

/** The daemon may be back soon: the connection was lost, or it is starting or overloaded. */
export function mayComeBack(error: unknown): boolean {
  if (error instanceof ConnectionError) return true;
  return error instanceof ApiError && (error.status === 502 || error.status === 503);
}
