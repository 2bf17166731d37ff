// http: how many connections are open. Beyond the bound new ones are closed as they come: without it the process runs
// out of descriptors, and then the server tries to accept the same connection for ever.

import type { Logger } from '../lib/log.ts';
import type { HttpResponse, TemplatedApp } from './uws.ts';

/** Refusals are logged so often at most. */
const LOG_EVERY_MS = 60_000;

export class Connections {
  readonly #most: number;
  readonly #log: Logger;
  #open = 0;
  #refused = 0;
  #loggedAtMs = Number.NEGATIVE_INFINITY;

  constructor(most: number, log: Logger) {
    this.#most = most;
    this.#log = log;
  }

  readonly #onChange = (response: Pick<HttpResponse, 'close'>, change: number): void => {
    this.#open += change;
    if (change > 0 && this.#open > this.#most) this.#refuse(response);
  };

  get open(): number {
    return this.#open;
  }

  /** Counts the connections of an app. */
  watch(app: TemplatedApp): void {
    app.filter(this.#onChange);
  }

  /** A connection has become a WebSocket: the server does not tell of its end, and its bound is another. */
  becameWebSocket(): void {
    this.#open -= 1;
  }

  #refuse(response: Pick<HttpResponse, 'close'>): void {
    this.#refused += 1;
    const nowMs = performance.now();
    if (nowMs - this.#loggedAtMs >= LOG_EVERY_MS) {
      this.#loggedAtMs = nowMs;
      const facts = { open: this.#open - 1, most: this.#most, refused: this.#refused };
      this.#log.warn(facts, 'too many connections; new ones are closed');
      this.#refused = 0;
    }
    response.close();
  }
}
