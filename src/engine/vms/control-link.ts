// engine, vms: the control connection to one hypervisor, which is made again as long as its process lives: a socket
// that was removed or a hypervisor that was frozen may answer later.

import { LIMITS } from '../../config.ts';
import type { Logger } from '../../lib/log.ts';
import type { ControlConnection, GuestEnd } from '../ports.ts';

export interface ControlLinkParts {
  /** Connects, or rejects when the signal aborts or the attempt is hopeless. */
  readonly connect: (signal: AbortSignal) => Promise<ControlConnection>;
  /** Called with each connection that was made. */
  readonly onConnected: (control: ControlConnection) => void;
  readonly log: Logger;
}

export class ControlLink {
  readonly #parts: ControlLinkParts;
  readonly #abort = new AbortController();
  #current: ControlConnection | null = null;
  /** Monotonic. */
  #lostAtMs = performance.now();
  #guestEnd: GuestEnd | undefined;
  readonly #waiting = new Set<(control: ControlConnection) => void>();

  constructor(parts: ControlLinkParts) {
    this.#parts = parts;
  }

  /** null while the hypervisor does not answer. */
  get current(): ControlConnection | null {
    return this.#current;
  }

  /** For how long there has been no connection. */
  get lostForMs(): number {
    return this.#current === null ? performance.now() - this.#lostAtMs : 0;
  }

  /** What the hypervisor said about the guest's end, on whichever connection. */
  get guestEnd(): GuestEnd | undefined {
    return this.#current?.guestEnd ?? this.#guestEnd;
  }

  /** Presses the power button as soon as the hypervisor answers. Rejects when the signal aborts before. */
  async powerButton(signal: AbortSignal): Promise<void> {
    const control = this.#current ?? (await this.#nextConnection(signal));
    await control.powerButton();
  }

  /** Takes over a connection, and makes a new one when it is lost. */
  take(control: ControlConnection): void {
    if (this.#abort.signal.aborted) {
      control.close();
      return;
    }
    this.#current = control;
    this.#parts.onConnected(control);
    for (const listener of this.#waiting) listener(control);
    void control.ended.then(() => {
      this.#guestEnd = control.guestEnd ?? this.#guestEnd;
      this.#current = null;
      this.#lostAtMs = performance.now();
      void this.#keepConnecting(LIMITS.controlRetryMinMs);
    });
  }

  /** Connects in the background. */
  connect(): void {
    if (!this.#abort.signal.aborted) void this.#keepConnecting(0);
  }

  /** Resolves when everything that was sent on the present connection has been read. */
  async drained(): Promise<void> {
    await this.#current?.ended;
  }

  /** Makes no new connection and closes the one that there is. */
  close(): void {
    this.#abort.abort();
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
