// http: how many requests have no answer yet, and whether new ones are taken.

import { LIMITS } from '../config.ts';
import { VolantError } from '../lib/errors.ts';

export class Traffic {
  accepting = true;
  size = 0;
  #waiting: (() => void)[] = [];

  /** Throws SHUTTING_DOWN or OVERLOADED. */
  admit(): void {
    if (!this.accepting) {
      throw new VolantError('SHUTTING_DOWN', undefined, { retryAfterSeconds: 1 });
    }
    if (this.size > LIMITS.requestsInFlightMax) {
      throw new VolantError('OVERLOADED', undefined, { retryAfterSeconds: 1 });
    }
  }

  begin(): void {
    this.size += 1;
  }

  end(): void {
    this.size -= 1;
    if (this.size > 0) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  idle(): Promise<void> {
    if (this.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
