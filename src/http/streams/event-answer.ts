// http, streams: one answer of Server-Sent Events that has a source of its own: its head, its texts, heartbeats, its end, and the
// client that does not read. Streams of the daemon's own events, which many readers share, are in sse.ts.

import type { Exchange } from '../exchange/exchange.ts';
import { utf8 } from '../uws.ts';

/** Writes the head of the answer and its first text. Returns what must be called when the answer has ended. */
export function beginEvents(exchange: Exchange, opening: string): () => void {
  const release = exchange.handOver();
  const { response, extraHeaders } = exchange;
  response.cork(() => {
    response.writeStatus('200 OK');
    response.writeHeader('Content-Type', 'text/event-stream');
    response.writeHeader('Cache-Control', 'no-cache');
    response.writeHeader('X-Accel-Buffering', 'no');
    for (const [name, value] of extraHeaders) response.writeHeader(name, value);
    response.write(utf8(opening));
  });
  return release;
}

export interface EventAnswerLimits {
  readonly heartbeatMs: number;
  /** How long a client may take nothing. Checked at each heartbeat. */
  readonly stallMs: number;
}

/** Where the texts come from. */
export interface EventOrigin {
  /** The client does not take what is written. */
  pause(): void;
  /** It takes more again. */
  resume(): void;
  /** It has taken nothing for too long. */
  stalled(): void;
}

/** Calls nothing of its origin after end() or abandon(). */
export class EventAnswer {
  readonly #exchange: Exchange;
  readonly #limits: EventAnswerLimits;
  readonly #origin: EventOrigin;
  #release: () => void = () => undefined;
  #timer: NodeJS.Timeout | undefined;
  #hasBegun = false;
  #isOver = false;
  #blockedMs: number | null = null;

  constructor(exchange: Exchange, limits: EventAnswerLimits, origin: EventOrigin) {
    this.#exchange = exchange;
    this.#limits = limits;
    this.#origin = origin;
    exchange.response.onWritable(() => {
      this.#blockedMs = null;
      // The server continues to drain its buffer only if something is written in this callback.
      this.write(': more\n\n');
      if (!this.#isOver && this.#blockedMs === null) origin.resume();
      return true;
    });
  }

  /** Until then the exchange can be answered otherwise. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** Writes the head, once. */
  begin(): void {
    if (this.#hasBegun || this.#isOver || !this.#exchange.open) return;
    this.#hasBegun = true;
    this.#release = beginEvents(this.#exchange, ': connected\n\n');
    this.#timer = setInterval(() => this.#tick(), this.#limits.heartbeatMs);
  }

  write(text: string): void {
    if (this.#isOver) return;
    const { response } = this.#exchange;
    let isTaken = true;
    response.cork(() => {
      isTaken = response.write(utf8(text));
    });
    if (isTaken) return;
    this.#blockedMs ??= performance.now();
    this.#origin.pause();
  }

  /** Writes the last text and ends an answer that has begun. */
  end(text: string): void {
    if (this.#isOver) return;
    this.abandon();
    const { response } = this.#exchange;
    response.cork(() => response.end(utf8(text)));
    this.#release();
  }

  /** Closes the connection of a client that takes nothing. */
  disconnect(): void {
    this.#exchange.response.close();
  }

  /** Writes nothing more: the client has gone, or gets another answer. */
  abandon(): void {
    this.#isOver = true;
    clearInterval(this.#timer);
  }

  #tick(): void {
    if (this.#blockedMs === null) this.write(': heartbeat\n\n');
    else if (performance.now() - this.#blockedMs > this.#limits.stallMs) this.#origin.stalled();
  }
}
