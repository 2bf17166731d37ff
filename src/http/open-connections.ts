// http: counts open connections. Above the bound, new ones are closed at once. Without it the process runs out of
// descriptors, and then the server retries the same accept(2) forever.

import type { Logger } from '../lib/log/log.ts';
import type { HttpResponse, TemplatedApp } from './uws.ts';

/** Minimum interval between log lines about refused connections. */
const LOG_EVERY_MS = 60_000;

export class Connections {
  readonly #most: number;
  readonly #log: Logger;
  readonly #onOpened: () => void;
  #open = 0;
  #refused = 0;
  #loggedAtMs = Number.NEGATIVE_INFINITY;

  /** `onOpened` is called for each connection, before the server accepts the next one. */
  constructor(most: number, log: Logger, onOpened: () => void) {
    this.#most = most;
    this.#log = log;
    this.#onOpened = onOpened;
  }

  readonly #onChange = (response: Pick<HttpResponse, 'close'>, change: number): void => {
    this.#open += change;
    if (change < 0) return;
    this.#onOpened();
    if (this.#open > this.#most) this.#refuse(response);
  };

  get open(): number {
    return this.#open;
  }

  /** Counts the connections of an app. */
  watch(app: TemplatedApp): void {
    app.filter(this.#onChange);
  }

  /** A connection became a WebSocket: the server does not report its end, and WebSockets have a bound of their own. */
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
