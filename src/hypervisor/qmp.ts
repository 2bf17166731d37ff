// hypervisor: the control connection, by the QEMU Machine Protocol: one JSON object a line over a unix
// socket, a greeting first, then commands answered by id, and events in between.

import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../config.ts';
import type { ControlConnection, GuestEnd } from '../engine/ports.ts';
import { within } from '../lib/deadline.ts';
import { VolantError } from '../lib/errors.ts';
import { connectToSocket } from './unix-socket.ts';

/** A line that is longer is no QMP. */
const LINE_BYTES_MAX = 256 * 1024;

/** The socket appears some milliseconds after the launch. */
const RETRY_MS = 5;

interface Message {
  readonly QMP?: object;
  readonly return?: unknown;
  readonly error?: { readonly desc?: string };
  readonly id?: number;
  readonly event?: string;
  readonly data?: {
    readonly guest?: boolean;
    readonly reason?: string;
    readonly action?: string;
    readonly nospace?: boolean;
  };
}

/** QEMU's ShutdownCause (qapi/run-state.json) -> what it means for the guest. */
const GUEST_ENDS: Readonly<Record<string, GuestEnd>> = {
  'guest-shutdown': 'power-off',
  'guest-reset': 'reset',
  'guest-panic': 'panic',
  'host-qmp-quit': 'host-request',
  'host-qmp-system-reset': 'host-request',
  'host-signal': 'host-request',
  'host-ui': 'host-request',
  'host-error': 'host-request',
};

/** Resolves when the hypervisor has answered. Tries again until the signal aborts. */
export async function connectQmp(path: string, signal: AbortSignal): Promise<ControlConnection> {
  for (;;) {
    signal.throwIfAborted();
    const connection = await attempt(path, signal);
    if (connection !== null) return connection;
    await pause(RETRY_MS, undefined, { signal });
  }
}

/** null when there is no socket yet, nobody listens on it, or who did has ended. */
async function attempt(path: string, signal: AbortSignal): Promise<QmpConnection | null> {
  const socket = connectToSocket(path);
  const connected = await new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
  });
  if (!connected) return null;
  const connection = new QmpConnection(socket);
  const onAbort = () => connection.close();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    if (await connection.negotiate()) return connection;
    connection.close();
    signal.throwIfAborted();
    return null;
  } catch (error) {
    connection.close();
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

class QmpConnection implements ControlConnection {
  readonly #socket: Socket;
  readonly #pending = new Map<number, (message: Message | null) => void>();
  readonly #greeted: Promise<boolean>;
  readonly ended: Promise<void>;
  readonly #diskFullListeners: (() => void)[] = [];
  #greet: (greeted: boolean) => void = () => undefined;
  #buffer = '';
  /** Who talks there is no hypervisor. */
  #isStranger = false;
  #nextId = 1;
  guestEnd: GuestEnd | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#greeted = new Promise((resolve) => {
      this.#greet = resolve;
    });
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#take(text));
    // What went wrong shows in the pending commands, each of which is told.
    socket.on('error', () => undefined);
    this.ended = new Promise((resolve) => {
      socket.on('close', () => {
        this.#greet(false);
        for (const settle of this.#pending.values()) settle(null);
        this.#pending.clear();
        resolve();
      });
    });
  }

  /**
   * false when it ended before the hypervisor was ready: that one may have died. No bound of its own: QEMU greets, and
   * answers when the guest's memory is made, which takes its time where devices need all of it.
   */
  async negotiate(): Promise<boolean> {
    const greeted = await this.#greeted;
    if (this.#isStranger) throw unanswered('the greeting');
    if (!greeted) return false;
    const { answered } = this.#send('qmp_capabilities');
    return (await answered) !== null;
  }

  async status(): Promise<string> {
    const answer = (await this.#execute('query-status')) as { status?: string } | undefined;
    return answer?.status ?? 'unknown';
  }

  onDiskFull(listener: () => void): void {
    this.#diskFullListeners.push(listener);
  }

  async resume(): Promise<void> {
    await this.#execute('cont');
  }

  async powerButton(): Promise<void> {
    await this.#execute('system_powerdown');
  }

  close(): void {
    this.#socket.destroy();
  }

  async #execute(command: string): Promise<unknown> {
    const { id, answered } = this.#send(command);
    const message = await within(answered, LIMITS.controlTimeoutMs);
    this.#pending.delete(id);
    if (!message) throw unanswered(command);
    if (message.error === undefined) return message.return;
    const why = message.error.desc ?? 'no reason given';
    throw new VolantError('HYPERVISOR_FAILED', `The hypervisor refused ${command}: ${why}`);
  }

  /** The answer is null when the connection ends before it. */
  #send(command: string): { readonly id: number; readonly answered: Promise<Message | null> } {
    const id = this.#nextId++;
    const answered = new Promise<Message | null>((resolve) => this.#pending.set(id, resolve));
    this.#socket.write(`${JSON.stringify({ execute: command, id })}\n`);
    return { id, answered };
  }

  #take(text: string): void {
    this.#buffer += text;
    const lines = this.#buffer.split('\n');
    this.#buffer = lines.pop() ?? '';
    const messages = lines.map(parse);
    if (this.#buffer.length > LINE_BYTES_MAX || messages.includes(null)) {
      this.#isStranger = true;
      this.close();
    }
    for (const message of messages) if (message !== null) this.#handle(message);
  }

  #handle(message: Message): void {
    if (message.QMP !== undefined) this.#greet(true);
    if (message.id !== undefined) this.#pending.get(message.id)?.(message);
    if (message.event === 'SHUTDOWN' && this.guestEnd !== 'panic') {
      this.guestEnd = GUEST_ENDS[message.data?.reason ?? ''] ?? 'host-request';
    }
    // For want of space QEMU pauses the guest (werror=enospc, its default) and keeps the write.
    if (message.event === 'BLOCK_IO_ERROR' && message.data?.nospace === true) {
      for (const listener of this.#diskFullListeners) listener();
    }
    // Told before the shutdown that may follow it, which gives another reason.
    if (message.event === 'GUEST_PANICKED') this.guestEnd = 'panic';
  }
}

/** null for what is no JSON object: whoever talks there is no hypervisor. */
function parse(line: string): Message | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' ? (value as Message) : null;
  } catch {
    return null;
  }
}

function unanswered(what: string): VolantError {
  return new VolantError('HYPERVISOR_TIMEOUT', `The hypervisor did not answer ${what}`);
}
