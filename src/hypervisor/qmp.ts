// hypervisor: the control connection, by the QEMU Machine Protocol: one JSON object a line over a unix
// socket, a greeting first, then commands answered by id, and events in between.

import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../config.ts';
import type { ControlConnection, GuestEnd } from '../engine/ports.ts';
import { within } from '../lib/deadline.ts';
import { VolantError } from '../lib/errors.ts';
import { QmpLines, type QmpMessage } from './qmp-messages.ts';
import { connectToSocket } from './unix-socket.ts';

/** The socket appears some milliseconds after the launch. */
const RETRY_MS = 5;

const STATUS = 'query-status';

/** A hypervisor that is frozen reads no commands, and is asked again and again: beyond this nothing more is written for it. */
const UNREAD_BYTES_MAX = 4096;

/** QEMU's ShutdownCause (qapi/run-state.json) -> what it means for the guest. */
const GUEST_ENDS: ReadonlyMap<string, GuestEnd> = new Map([
  ['guest-shutdown', 'power-off'],
  ['guest-reset', 'reset'],
  ['guest-panic', 'panic'],
  ['host-qmp-quit', 'host-request'],
  ['host-qmp-system-reset', 'host-request'],
  ['host-signal', 'host-request'],
  ['host-ui', 'host-request'],
  ['host-error', 'host-request'],
]);

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
  readonly #pending = new Map<number, (message: QmpMessage | null) => void>();
  readonly #greeted: Promise<boolean>;
  readonly ended: Promise<void>;
  readonly #diskFullListeners: (() => void)[] = [];
  #greet: (greeted: boolean) => void = () => undefined;
  readonly #lines = new QmpLines();
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
    return statusIn(await this.#execute(STATUS));
  }

  async pulse(): Promise<string> {
    const message = await this.#send(STATUS).answered;
    if (message === null) throw unanswered(STATUS);
    return statusIn(message.result);
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
    if (this.#socket.writableLength > UNREAD_BYTES_MAX) throw unanswered(command);
    const { id, answered } = this.#send(command);
    const message = await within(answered, LIMITS.controlTimeoutMs);
    this.#pending.delete(id);
    if (!message) throw unanswered(command);
    if (message.refusal === undefined) return message.result;
    const why = `The hypervisor refused ${command}: ${message.refusal}`;
    throw new VolantError('HYPERVISOR_FAILED', why);
  }

  /** The answer is null when the connection ends before it. */
  #send(command: string): { readonly id: number; readonly answered: Promise<QmpMessage | null> } {
    const id = this.#nextId++;
    const answered = new Promise<QmpMessage | null>((resolve) => this.#pending.set(id, resolve));
    this.#socket.write(`${JSON.stringify({ execute: command, id })}\n`);
    return { id, answered };
  }

  #take(text: string): void {
    const messages = this.#lines.push(text);
    if (messages === null) {
      this.#isStranger = true;
      this.close();
    }
    for (const message of messages ?? []) this.#handle(message);
  }

  #handle(message: QmpMessage): void {
    const { isGreeting, id, event, reason, isDiskFull } = message;
    if (isGreeting) this.#greet(true);
    if (id !== undefined) {
      this.#pending.get(id)?.(message);
      this.#pending.delete(id);
    }
    if (event === 'SHUTDOWN' && this.guestEnd !== 'panic') {
      this.guestEnd = GUEST_ENDS.get(reason ?? '') ?? 'host-request';
    }
    if (isDiskFull) for (const listener of this.#diskFullListeners) listener();
    // Told before the shutdown that may follow it, which gives another reason.
    if (event === 'GUEST_PANICKED') this.guestEnd = 'panic';
  }
}

function statusIn(result: unknown): string {
  const answer = result as { status?: unknown } | null | undefined;
  return typeof answer?.status === 'string' ? answer.status : 'unknown';
}

function unanswered(what: string): VolantError {
  return new VolantError('HYPERVISOR_TIMEOUT', `The hypervisor did not answer ${what}`);
}
