// http: counts requests without an answer, by client, and decides whether new ones are accepted.

import { LIMITS } from '../config/limits.ts';
import { VolantError } from '../lib/errors.ts';
import { DrainRate } from '../lib/queues/drain-rate.ts';

export class Traffic {
  accepting = true;
  size = 0;
  /** Number of changes under way, by client. */
  readonly #changes = new Map<string, number>();
  readonly #drain = new DrainRate(LIMITS.retryAfterSecondsMax, LIMITS.launchesPerSecondGuess);
  #waiting: (() => void)[] = [];

  /** Throws SHUTTING_DOWN. Sufficient for requests that are answered at once. */
  requireOpen(): void {
    if (this.accepting) return;
    throw new VolantError('SHUTTING_DOWN', undefined, { retryAfterSeconds: 1 });
  }

  /**
   * Counts a request. Throws SHUTTING_DOWN or OVERLOADED. A client may have as many changes under way as there are free
   * slots for further requests, so that one client alone never blocks the others. `client` is empty for reads.
   */
  admit(client = ''): void {
    this.requireOpen();
    const room = LIMITS.requestsInFlightMax - this.size;
    const own = this.#changes.get(client) ?? 0;
    if (own < room) return;
    const nowMs = performance.now();
    this.#drain.full(nowMs);
    const retryAfterSeconds = this.#drain.secondsFor(own === 0 ? 1 : own, nowMs);
    throw new VolantError('OVERLOADED', undefined, { retryAfterSeconds });
  }

  begin(client = ''): void {
    this.size += 1;
    if (client !== '') this.#changes.set(client, (this.#changes.get(client) ?? 0) + 1);
  }

  end(client = ''): void {
    this.size -= 1;
    this.#drain.ended(performance.now());
    if (client !== '') this.#leave(client);
    if (this.size > 0) return;
    this.#drain.empty(performance.now());
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  idle(): Promise<void> {
    if (this.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #leave(client: string): void {
    const left = (this.#changes.get(client) ?? 0) - 1;
    if (left <= 0) this.#changes.delete(client);
    else this.#changes.set(client, left);
  }
}
