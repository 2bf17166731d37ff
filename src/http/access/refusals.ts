// http, access: counts requests refused for a missing or wrong key, by client address, and logs a summary at intervals,
// however many there are. Refused clients are not delayed: a key of 256 bits cannot be guessed.

import { LIMITS } from '../../config/limits.ts';
import type { Logger } from '../../lib/log/log.ts';

/** Maximum number of addresses in one log line. */
const NAMED_MAX = 8;

export class Refusals {
  readonly #log: Logger;
  readonly #byAddress = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;
  #total = 0;

  constructor(log: Logger, everyMs: number = LIMITS.refusalLogIntervalMs) {
    this.#log = log;
    this.#timer = setInterval(() => this.report(), everyMs).unref();
  }

  /** `address` is the client's address as text; empty on a unix socket. */
  note(address: string): void {
    this.#total += 1;
    const known = this.#byAddress.get(address);
    if (known === undefined && this.#byAddress.size >= LIMITS.refusalAddressesMax) return;
    this.#byAddress.set(address, (known ?? 0) + 1);
  }

  report(): void {
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
    this.report();
  }
}
