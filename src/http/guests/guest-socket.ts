// http, guests: one WebSocket between a client and a workload. Messages go both ways with backpressure, and the end of one
// side ends the other. The workload is connected first, so that the client gets its answer to the upgrade.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocket as GuestConnection } from 'ws';
import { VolantError } from '../../lib/errors.ts';
import { CLOSE } from '../streams/socket-viewer.ts';
import { utf8, type WebSocket } from '../uws.ts';
import type { GuestRequestHead } from './guest-head.ts';

export interface GuestSocketLimits {
  readonly messageBytesMax: number;
  /**
   * Maximum number of bytes that one side has not read yet. The other side is paused at this bound, or closed if it cannot
   * be paused.
   */
  readonly backlogBytesMax: number;
  readonly handshakeMs: number;
  readonly pingMs: number;
  readonly closeMs: number;
}

export interface GuestSocketEvents {
  /** The workload accepted, with one of the offered protocols; empty for none. */
  onAccepted(protocol: string): void;
  /** The workload refused. Called instead of `onAccepted`. */
  onRefused(error: VolantError): void;
  /** Called once at the end, in every case. */
  onOver(): void;
}

/** Headers of a handshake; a new one is made for the workload. */
const OF_THE_HANDSHAKE = /^(sec-websocket-.*|host|transfer-encoding|content-length)$/;

/** Close codes that a program may send (RFC 6455, 7.4). */
const isSendable = (code: number) =>
  [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1013].includes(code) ||
  (code >= 3000 && code <= 4999);

export class GuestSocket {
  readonly #stream: Duplex;
  readonly #guest: GuestConnection;
  readonly #events: GuestSocketEvents;
  readonly #limits: GuestSocketLimits;
  readonly #handshake: NodeJS.Timeout;
  readonly #pings: NodeJS.Timeout;
  #client: WebSocket<unknown> | null = null;
  #accepted = false;
  #clientIsGone = false;
  #over = false;

  /** Owns the stream, even if it throws: PARAMETER_INVALID for invalid protocol names. */
  constructor(
    stream: Duplex,
    { target, headers }: GuestRequestHead,
    protocols: string,
    limits: GuestSocketLimits,
    events: GuestSocketEvents,
  ) {
    this.#stream = stream;
    this.#events = events;
    this.#limits = limits;
    // The WebSocket reports the same error, once it has begun.
    stream.on('error', () => undefined);
    const own = Object.entries(headers).filter(([name]) => !OF_THE_HANDSHAKE.test(name));
    const offered = protocols === '' ? [] : protocols.split(/\s*,\s*/);
    try {
      this.#guest = new GuestConnection(`ws://agent${target}`, offered, {
        createConnection: () => stream,
        headers: Object.fromEntries(own),
        perMessageDeflate: false,
        maxPayload: limits.messageBytesMax,
      });
    } catch (cause) {
      stream.destroy();
      const details = { 'Sec-WebSocket-Protocol': 'must be names, each once' };
      throw new VolantError('PARAMETER_INVALID', undefined, { details, cause });
    }
    // The timeout of the ws package needs a socket with setTimeout().
    this.#handshake = setTimeout(() => {
      this.#broken(new Error(`nothing was sent for ${limits.handshakeMs / 1000} s`));
    }, limits.handshakeMs).unref();
    this.#pings = setInterval(() => this.#ping(), limits.pingMs).unref();
    this.#listen();
  }

  /** The client's upgrade is complete. */
  opened(client: WebSocket<unknown>): void {
    this.#client = client;
    this.#guest.resume();
  }

  /** A message of the client. The bytes are lent. */
  received(message: ArrayBuffer, isBinary: boolean): void {
    if (this.#over || this.#guest.readyState !== GuestConnection.OPEN) return;
    // The server cannot pause a client.
    if (this.#guest.bufferedAmount > this.#limits.backlogBytesMax) {
      this.end(CLOSE.tryLater, 'the workload does not read');
      return;
    }
    this.#guest.send(Uint8Array.from(new Uint8Array(message)), { binary: isBinary });
  }

  /** The client has taken everything that was sent. */
  drained(): void {
    if (!this.#over) this.#guest.resume();
  }

  /** The client closed the WebSocket with this code and reason. */
  clientGone(code: number, reason: string): void {
    this.#clientIsGone = true;
    this.#closeGuest(isSendable(code) ? code : CLOSE.goingAway, reason);
    this.#finish();
  }

  /** Closes both sides. */
  end(code: number, reason: string): void {
    if (this.#over) return;
    this.#closeGuest(code, reason);
    this.#closeClient(code, reason);
    this.#finish();
  }

  #listen(): void {
    const guest = this.#guest;
    guest.on('open', () => {
      // Messages are read only once there is a client to send them to.
      guest.pause();
      this.#accepted = true;
      this.#events.onAccepted(guest.protocol);
    });
    guest.on('unexpected-response', (_request, answer: IncomingMessage) => {
      answer.on('error', () => undefined);
      this.#refuse(`the workload answered the upgrade with status ${answer.statusCode}`);
    });
    guest.on('message', (data, isBinary) => this.#forward(data as Buffer, isBinary));
    guest.on('error', (error) => this.#broken(error));
    guest.on('close', (code, reason) => {
      this.#stream.destroy();
      this.#broken(new Error('the connection was closed'));
      if (this.#over) return;
      const said = isSendable(code) ? code : code === 1005 ? CLOSE.normal : CLOSE.failed;
      this.#closeClient(said, reason.toString());
      this.#finish();
    });
  }

  #forward(data: Buffer, isBinary: boolean): void {
    const client = this.#client;
    if (this.#over || client === null) return;
    client.cork(() => client.send(data, isBinary));
    if (client.getBufferedAmount() > this.#limits.backlogBytesMax) this.#guest.pause();
  }

  /** Before the workload accepted, a failure is an error answer. After that, 'close' follows. */
  #broken(error: Error): void {
    if (!this.#accepted)
      this.#refuse(`the workload did not accept the WebSocket: ${error.message}`);
  }

  #refuse(why: string): void {
    if (this.#over) return;
    this.#accepted = true;
    this.#finish();
    this.#guest.terminate();
    this.#stream.destroy();
    const message = `${why[0]?.toUpperCase()}${why.slice(1)}`;
    this.#events.onRefused(new VolantError('AGENT_UNREACHABLE', message));
  }

  #ping(): void {
    // The agent closes connections that are silent for long. The server pings the client itself.
    if (this.#guest.readyState === GuestConnection.OPEN) this.#guest.ping();
  }

  #closeClient(code: number, reason: string): void {
    if (this.#clientIsGone || this.#client === null) return;
    this.#clientIsGone = true;
    this.#client.end(code, utf8(reason));
  }

  /** Sends the close frame and waits a short time for the answer. The stream is closed in any case. */
  #closeGuest(code: number, reason: string): void {
    if (this.#guest.readyState === GuestConnection.OPEN) this.#guest.close(code, reason);
    else this.#guest.terminate();
    const destroy = () => {
      this.#guest.terminate();
      this.#stream.destroy();
    };
    const timer = setTimeout(destroy, this.#limits.closeMs).unref();
    this.#guest.once('close', () => clearTimeout(timer));
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#handshake);
    clearInterval(this.#pings);
    this.#events.onOver();
  }
}
