// engine, vms: keeps the control connection to one hypervisor and reconnects as long as its process lives. A socket
// that was removed or a hypervisor that was frozen may answer later.

import { LIMITS } from '../../../config/limits.ts';
import type { Logger } from '../../../lib/log/log.ts';
import type { ControlConnection, GuestEnd } from '../../ports/hypervisor-ports.ts';

export interface ControlLinkParts {
  /** Connects. Rejects if the signal aborts or the attempt cannot succeed. */
  readonly connect: (signal: AbortSignal) => Promise<ControlConnection>;
  /** Called with each new connection. */
  readonly onConnected: (control: ControlConnection) => void;
  readonly log: Logger;
}

/** The reason of all aborts: an error of its own for each would cost more than the rest of a close. */
const CLOSED = new Error('The connection is not needed any more');

export class ControlLink {
  readonly #parts: ControlLinkParts;
  readonly #abort = new AbortController();
  #current: ControlConnection | null = null;
  /** Monotonic, in ms. */
  #lostAtMs = performance.now();
  #guestEnd: GuestEnd | undefined;
  readonly #waiting = new Set<(control: ControlConnection) => void>();
  /** There is a connection, or it is being made. */
  #isBegun = false;

  constructor(parts: ControlLinkParts) {
    this.#parts = parts;
  }

  /** The open connection; null while the hypervisor does not answer. */
  get current(): ControlConnection | null {
    return this.#current;
  }

  /** For how many ms there has been no connection. */
  get lostForMs(): number {
    return this.#current === null ? performance.now() - this.#lostAtMs : 0;
  }

  /** What the hypervisor reported about the guest's end, on any connection. */
  get guestEnd(): GuestEnd | undefined {
    return this.#current?.guestEnd ?? this.#guestEnd;
  }

  /** Presses the power button as soon as the hypervisor answers. Rejects if the signal aborts before. */
  async powerButton(signal: AbortSignal): Promise<void> {
    this.connect();
    const control = this.#current ?? (await this.#nextConnection(signal));
    await control.powerButton();
  }

  /** Takes ownership of a connection, and reconnects when it is lost. */
  take(control: ControlConnection): void {
    if (this.#abort.signal.aborted) {
      control.close();
      return;
    }
    this.#isBegun = true;
    this.#current = control;
    this.#parts.onConnected(control);
    for (const listener of this.#waiting) listener(control);
    void control.ended.then(() => {
      this.#guestEnd = control.guestEnd ?? this.#guestEnd;
      this.#current = null;
      this.#lostAtMs = performance.now();
      // A hypervisor that has reported the end of its guest is about to exit.
      const isEnding = control.guestEnd !== undefined;
      void this.#keepConnecting(isEnding ? LIMITS.controlConnectMs : LIMITS.controlRetryMinMs);
    });
  }

  /** Connects in the background, unless that has begun or there was a connection. */
  connect(): void {
    if (this.#isBegun || this.#abort.signal.aborted) return;
    this.#isBegun = true;
    void this.#keepConnecting(0);
  }

  /** Resolves when everything sent on the current connection has been read. */
  async drained(): Promise<void> {
    await this.#current?.ended;
  }

  /** Closes the connection and stops reconnecting. */
  close(): void {
    if (!this.#abort.signal.aborted) this.#abort.abort(CLOSED);
    this.#current?.close();
  }

  #nextConnection(signal: AbortSignal): Promise<ControlConnection> {
    return new Promise((resolve, reject) => {
      const end = () => {
        this.#waiting.delete(connected);
        signal.removeEventListener('abort', giveUp);
      };
      const connected = (control: ControlConnection) => {
        end();
        resolve(control);
      };
      const giveUp = () => {
        end();
        reject(signal.reason);
      };
      this.#waiting.add(connected);
      signal.addEventListener('abort', giveUp);
    });
  }

  async #keepConnecting(firstPauseMs: number): Promise<void> {
    const { signal } = this.#abort;
    let pauseMs = firstPauseMs;
    while (!signal.aborted) {
      if (pauseMs > 0) await pauseUnless(signal, pauseMs);
      if (signal.aborted) return;
      pauseMs = Math.min(Math.max(2 * pauseMs, LIMITS.controlRetryMinMs), LIMITS.controlRetryMaxMs);
      const attempt = AbortSignal.any([signal, AbortSignal.timeout(LIMITS.controlConnectMs)]);
      try {
        this.take(await this.#parts.connect(attempt));
        return;
      } catch (error) {
        this.#parts.log.debug({ err: error }, 'a hypervisor does not answer');
      }
    }
  }
}

function pauseUnless(signal: AbortSignal, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, ms).unref();
    function end() {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    }
    signal.addEventListener('abort', end);
  });
}
