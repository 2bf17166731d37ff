// http, guests: the body of a guest's answer on its way to a client that may be slower than the guest. Both kinds of body
// buffer at most the last chunk that was written, and report when they can take more.

import type { HttpResponse } from '../uws.ts';

export interface GuestBody {
  /** false: give no more until `onDrain` is called. */
  write(chunk: Buffer): boolean;
  /** The guest has sent the whole body. */
  end(): void;
  /** The client has disconnected. */
  abandon(): void;
}

export interface GuestBodyEvents {
  /** There is room again. */
  readonly onDrain: () => void;
  /** The socket did not take all. The server may have begun to read again by that, and times the connection from now on. */
  readonly onTried: () => void;
  /** Called just before the last bytes are written: the response belongs to the server after that. */
  readonly beforeEnd: () => void;
  /** The answer is complete. The response may not be touched any more. */
  readonly onDone: () => void;
}

/** Intervals at which a blocked write is retried: the first one, and the longest one after backoff. */
const PROBE_MIN_MS = 2;
const PROBE_MAX_MS = 200;

/**
 * A body with a Content-Length. The server takes only what its socket takes. While reading of the request is paused, the
 * server does not report that the socket is writable, so a timer retries the write, too.
 */
export class SizedBody implements GuestBody {
  readonly #response: HttpResponse;
  readonly #bytes: number;
  readonly #events: GuestBodyEvents;
  #sent = 0;
  #rest: Buffer | null = null;
  #pauseMs = PROBE_MIN_MS;
  #timer: NodeJS.Timeout | undefined;

  constructor(response: HttpResponse, bytes: number, events: GuestBodyEvents) {
    this.#response = response;
    this.#bytes = bytes;
    this.#events = events;
    response.onWritable(() => this.#goOn());
  }

  write(chunk: Buffer): boolean {
    return this.#send(chunk);
  }

  end(): void {
    // An answer that is shorter than its Content-Length can only be reported by closing the connection.
    if (this.#rest === null && this.#sent < this.#bytes) this.#response.close();
  }

  abandon(): void {
    this.#rest = null;
    clearTimeout(this.#timer);
  }

  #goOn(): boolean {
    const rest = this.#rest;
    if (rest === null) return true;
    this.#rest = null;
    clearTimeout(this.#timer);
    if (!this.#send(rest)) return false;
    if (this.#sent < this.#bytes) this.#events.onDrain();
    return true;
  }

  #send(chunk: Buffer): boolean {
    const before = this.#response.getWriteOffset();
    let taken = true;
    let complete = false;
    if (this.#sent + chunk.length >= this.#bytes) this.#events.beforeEnd();
    this.#response.cork(() => {
      [taken, complete] = this.#response.tryEnd(chunk, this.#bytes);
    });
    if (complete) {
      this.#sent = this.#bytes;
      this.#events.onDone();
      return true;
    }
    const written = taken ? chunk.length : this.#response.getWriteOffset() - before;
    this.#sent += written;
    if (taken) return true;
    this.#rest = chunk.subarray(written);
    this.#pauseMs = written > 0 ? PROBE_MIN_MS : Math.min(this.#pauseMs * 2, PROBE_MAX_MS);
    this.#timer = setTimeout(() => this.#goOn(), this.#pauseMs);
    this.#events.onTried();
    return false;
  }
}

/**
 * A chunked body. The server buffers what its socket does not take, and does not report when that is sent. A write of one
 * byte of the next chunk finds out.
 */
export class ChunkedBody implements GuestBody {
  readonly #response: HttpResponse;
  readonly #events: GuestBodyEvents;
  #full = false;
  #next: Buffer | null = null;
  #timer: NodeJS.Timeout | undefined;

  constructor(response: HttpResponse, events: GuestBodyEvents) {
    this.#response = response;
    this.#events = events;
  }

  write(chunk: Buffer): boolean {
    if (!this.#full) {
      this.#full = !this.#send(chunk);
      return true;
    }
    this.#next = chunk;
    this.#probeAfter(PROBE_MIN_MS);
    return false;
  }

  end(): void {
    this.#events.beforeEnd();
    this.#response.cork(() => this.#response.end());
    this.#events.onDone();
  }

  abandon(): void {
    clearTimeout(this.#timer);
  }

  #probeAfter(pauseMs: number): void {
    this.#timer = setTimeout(() => {
      const next = this.#next;
      if (next === null) return;
      this.#full = !this.#send(next.subarray(0, 1));
      const rest = next.subarray(1);
      this.#next = rest;
      if (this.#full && rest.length > 0) {
        this.#probeAfter(Math.min(pauseMs * 2, PROBE_MAX_MS));
        return;
      }
      this.#next = null;
      if (rest.length > 0) this.#full = !this.#send(rest);
      this.#events.onDrain();
    }, pauseMs);
  }

  #send(chunk: Buffer): boolean {
    let taken = true;
    this.#response.cork(() => {
      taken = this.#response.write(chunk);
    });
    if (!taken) this.#events.onTried();
    return taken;
  }
}
