// http: counts who is refused for a missing or wrong key, by address, and tells the log now and then: one
// line, however often somebody tries. Keys of 256 bits cannot be guessed, so nobody is kept waiting.

import { LIMITS } from '../config.ts';
import type { Logger } from '../lib/log.ts';

/** Addresses that one line names. */
const NAMED_MAX = 8;

export class Refusals {
  readonly #log: Logger;
  readonly #byAddress = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;
  #total = 0;

  constructor(log: Logger, everyMs: number = LIMITS.refusalLogIntervalMs) {
    this.#log = log;
    this.#timer = setInterval(() => this.tell(), everyMs).unref();
  }

  /** The address as text; empty on a unix socket. */
  note(address: string): void {
    this.#total += 1;
    const known = this.#byAddress.get(address);
    if (known === undefined && this.#byAddress.size >= LIMITS.refusalAddressesMax) return;
    this.#byAddress.set(address, (known ?? 0) + 1);
  }

  tell(): void {
    if (this.#total === 0) return;
    const most = [...this.#byAddress].sort(([, a], [, b]) => b - a).slice(0, NAMED_MAX);
    const addresses = Object.fromEntries(
      most.map(([address, count]) => [address || 'unix', count]),
    );
    this.#log.warn({ requests: this.#total, addresses }, 'requests had no API key, or a wrong one');
    this.#byAddress.clear();
    this.#total = 0;
  }

  close(): void {
    clearInterval(this.#timer);
    this.tell();
  }
}
