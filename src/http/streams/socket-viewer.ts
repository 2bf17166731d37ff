// http, streams: one client of a WebSocket. A client that does not read in time is closed with a code that means: try again
// later.

import { VolantError } from '../../lib/errors.ts';
import { utf8, type WebSocket } from '../uws.ts';

/** Close codes of RFC 6455, 7.4.1 and of its registry. */
export const CLOSE = {
  normal: 1000,
  goingAway: 1001,
  forbidden: 1008,
  failed: 1011,
  tryLater: 1013,
} as const;

/** The server copies the members of a socket's data, so they are wrapped in one object. */
export interface SocketData {
  readonly viewer: SocketViewer;
}

/** The receiver of what a viewer sends. */
export interface ViewerSource {
  /** The viewer sent a message. The bytes are lent. */
  onMessage(bytes: Uint8Array): void;
  /** The viewer has disconnected. */
  onGone(): void;
}

/** Bounds the number of open WebSockets of all kinds. */
export class SocketSlots {
  readonly #most: number;
  #taken = 0;

  constructor(most: number) {
    this.#most = most;
  }

  get taken(): number {
    return this.#taken;
  }

  /** Takes a slot, and returns the function that releases it. Throws OVERLOADED if none is free. */
  take(): () => void {
    if (this.#taken >= this.#most) {
      const why = `At most ${this.#most} WebSockets may be open`;
      throw new VolantError('OVERLOADED', why, { retryAfterSeconds: 5 });
    }
    this.#taken += 1;
    let isFree = false;
    return () => {
      if (!isFree) this.#taken -= 1;
      isFree = true;
    };
  }
}

/** The close reason of a frame has at most 123 bytes. */
const REASON_CHARACTERS_MAX = 120;

export class SocketViewer {
  readonly #backlogBytesMax: number;
  readonly #onOver: () => void;
  #socket: WebSocket<SocketData> | null = null;
  #source: ViewerSource | null = null;
  #closed = false;

  constructor(backlogBytesMax: number, onOver: () => void) {
    this.#backlogBytesMax = backlogBytesMax;
    this.#onOver = onOver;
  }

  serve(source: ViewerSource): void {
    this.#source = source;
  }

  opened(socket: WebSocket<SocketData>): void {
    this.#socket = socket;
  }

  received(message: ArrayBuffer): void {
    this.#source?.onMessage(new Uint8Array(message));
  }

  /** Called by the server, also after close(). */
  gone(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#onOver();
    this.#source?.onGone();
  }

  send(data: string | Uint8Array): void {
    if (this.#closed || this.#socket === null) return;
    const isText = typeof data === 'string';
    this.#socket.send(isText ? utf8(data) : data, !isText);
    if (this.#socket.getBufferedAmount() > this.#backlogBytesMax) {
      this.close(CLOSE.tryLater, 'too slow');
    }
  }

  close(code: number, reason: string): void {
    if (this.#closed) return;
    // end() calls gone() synchronously.
    this.#socket?.end(code, utf8(reason.slice(0, REASON_CHARACTERS_MAX)));
    this.gone();
  }
}
