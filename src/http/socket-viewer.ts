// http: one client of a WebSocket. What it is sent, it must take in time; who falls behind is told to
// come back later.

import { VolantError } from '../lib/errors.ts';
import { utf8, type WebSocket } from './uws.ts';

/** Close codes of RFC 6455, 7.4.1 and of its registry. */
export const CLOSE = {
  normal: 1000,
  goingAway: 1001,
  forbidden: 1008,
  failed: 1011,
  tryLater: 1013,
} as const;

/** What the server keeps for a socket: it copies the members, so they are wrapped. */
export interface SocketData {
  readonly viewer: SocketViewer;
}

/** What serves a viewer once it is there. */
export interface ViewerSource {
  /** Something was sent by the viewer. The bytes are lent. */
  onMessage(bytes: Uint8Array): void;
  /** The viewer has gone. */
  onGone(): void;
}

/** How many WebSockets there may be, of all kinds. */
export class SocketPlaces {
  readonly #most: number;
  #taken = 0;

  constructor(most: number) {
    this.#most = most;
  }

  /** The way to give it back, once. OVERLOADED when all are taken. */
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

  /** Told by the server, also after our own close. */
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
    // The server calls gone() from within.
    this.#socket?.end(code, utf8(reason.slice(0, REASON_CHARACTERS_MAX)));
    this.gone();
  }
}
