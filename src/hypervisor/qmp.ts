// hypervisor: the control connection by the QEMU Machine Protocol: one JSON object per line on a unix socket; first a
// greeting, then commands that are answered by id, and events in between. Parsing is in qmp-messages.ts.

import type { Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { LIMITS } from '../config/limits.ts';
import type {
  ControlConnection,
  DiskCounters,
  GuestEnd,
} from '../engine/ports/hypervisor-ports.ts';
import { within } from '../lib/deadline.ts';
import { VolantError } from '../lib/errors.ts';
import { diskCountersIn } from './qmp-disks.ts';
import { QmpLines, type QmpMessage } from './qmp-messages.ts';
import { connectToSocket } from './unix-socket.ts';

/** A hypervisor that was launched listens already: a socket on which nobody does is that of one that has just ended. */
const RETRY_MS = 5;

const STATUS = 'query-status';

/** A frozen hypervisor reads no commands. Beyond this many unread bytes no more commands are written. */
const UNREAD_BYTES_MAX = 4096;

/** QEMU's ShutdownCause (qapi/run-state.json) -> the way in which the guest ended. */
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

/** Connects, retrying until the hypervisor has answered. Rejects with the signal's reason. */
export async function connectQmp(path: string, signal: AbortSignal): Promise<ControlConnection> {
  for (;;) {
    signal.throwIfAborted();
    const connection = await attempt(path, signal);
    if (connection !== null) return connection;
    await pause(RETRY_MS, undefined, { signal });
  }
}

/** Tries once. null: there is no socket yet, nothing listens on it, or the listener has ended. */
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
  /** The peer does not speak QMP. */
  #isNotQmp = false;
  #nextId = 1;
  guestEnd: GuestEnd | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#greeted = new Promise((resolve) => {
      this.#greet = resolve;
    });
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#take(text));
    // The pending commands are rejected when the socket closes.
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
   * false: the connection ended before the hypervisor was ready, so it may have died. There is no deadline here: QEMU
   * answers after the guest's memory was allocated, which takes long when devices need all of it.
   */
  async negotiate(): Promise<boolean> {
    const greeted = await this.#greeted;
    if (this.#isNotQmp) throw unanswered('the greeting');
    if (!greeted) return false;
    const { answered } = this.#send('qmp_capabilities');
    return (await answered) !== null;
  }

  async status(): Promise<string> {
    return statusIn(await this.#execute(STATUS));
  }

  async diskCounters(): Promise<readonly DiskCounters[]> {
    return diskCountersIn(await this.#execute('query-blockstats', LIMITS.statsQueryTimeoutMs));
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

  async #execute(command: string, timeoutMs: number = LIMITS.controlTimeoutMs): Promise<unknown> {
    if (this.#socket.writableLength > UNREAD_BYTES_MAX) throw unanswered(command);
    const { id, answered } = this.#send(command);
    const message = await within(answered, timeoutMs);
    this.#pending.delete(id);
    if (!message) throw unanswered(command);
    if (message.refusal === undefined) return message.result;
    const why = `The hypervisor refused ${command}: ${message.refusal}`;
    throw new VolantError('HYPERVISOR_FAILED', why);
  }

  /** Sends a command. The answer is null when the connection ends before. */
  #send(command: string): { readonly id: number; readonly answered: Promise<QmpMessage | null> } {
    const id = this.#nextId++;
    const answered = new Promise<QmpMessage | null>((resolve) => this.#pending.set(id, resolve));
    this.#socket.write(`${JSON.stringify({ execute: command, id })}\n`);
    return { id, answered };
  }

  #take(text: string): void {
    const messages = this.#lines.push(text);
    if (messages === null) {
      this.#isNotQmp = true;
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
    // A panic is reported before the shutdown that may follow, which has another reason.
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
