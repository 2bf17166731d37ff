// http: one WebSocket between a client and a workload: messages both ways, neither side faster than the other takes them,
// and the end of one is the end of the other. The workload is asked first, so that the client is told what it says.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocket as GuestConnection } from 'ws';
import { VolantError } from '../lib/errors.ts';
import type { GuestRequestHead } from './guest-head.ts';
import { CLOSE } from './socket-viewer.ts';
import { utf8, type WebSocket } from './uws.ts';

export interface GuestSocketLimits {
  readonly messageBytesMax: number;
  /** What one side has not taken yet; the other one waits meanwhile, or is closed where it cannot be held back. */
  readonly backlogBytesMax: number;
  readonly handshakeMs: number;
  readonly pingMs: number;
  readonly closeMs: number;
}

export interface GuestSocketEvents {
  /** The workload has taken it, with this of the protocols that were offered; empty for none. */
  onAccepted(protocol: string): void;
  /** It has not. Called instead of `onAccepted`. */
  onRefused(error: VolantError): void;
  /** Called once, whatever came before. */
  onOver(): void;
}

/** Written anew for the workload. */
const OF_THE_HANDSHAKE = /^(sec-websocket-.*|host|transfer-encoding|content-length)$/;

/** Codes that a program may send (RFC 6455, 7.4). */
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

  /** Owns the stream, also when it throws: PARAMETER_INVALID for protocols that are none. */
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
    // The connection tells it, too, as far as it has begun.
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
    // The package's own bound is for sockets that have one themselves.
    this.#handshake = setTimeout(() => {
      this.#broken(new Error(`nothing was sent for ${limits.handshakeMs / 1000} s`));
    }, limits.handshakeMs).unref();
    this.#pings = setInterval(() => this.#ping(), limits.pingMs).unref();
    this.#listen();
  }

  /** The upgrade of the client is done. */
  opened(client: WebSocket<unknown>): void {
    this.#client = client;
    this.#guest.resume();
  }

  /** A message of the client's. The bytes are lent. */
  received(message: ArrayBuffer, isBinary: boolean): void {
    if (this.#over || this.#guest.readyState !== GuestConnection.OPEN) return;
    // The server cannot hold a client back.
    if (this.#guest.bufferedAmount > this.#limits.backlogBytesMax) {
      this.end(CLOSE.tryLater, 'the workload does not read');
      return;
    }
    this.#guest.send(Uint8Array.from(new Uint8Array(message)), { binary: isBinary });
  }

  /** The client has taken what there was. */
  drained(): void {
    if (!this.#over) this.#guest.resume();
  }

  /** The client has closed, with this. */
  clientGone(code: number, reason: string): void {
    this.#clientIsGone = true;
    this.#closeGuest(isSendable(code) ? code : CLOSE.goingAway, reason);
    this.#finish();
  }

  /** Ends both sides. */
  end(code: number, reason: string): void {
    if (this.#over) return;
    this.#closeGuest(code, reason);
    this.#closeClient(code, reason);
    this.#finish();
  }

  #listen(): void {
    const guest = this.#guest;
    guest.on('open', () => {
      // Nothing is read before there is somebody to send it to.
      guest.pause();
      this.#accepted = true;
      this.#events.onAccepted(guest.protocol);
    });
    guest.on('unexpected-response', (_request, answer: IncomingMessage) => {
      answer.on('error', () => undefined);
      this.#refuse(`the workload answered ${answer.statusCode} to the WebSocket`);
    });
    guest.on('message', (data, isBinary) => this.#forward(data as Buffer, isBinary));
    guest.on('error', (error) => this.#broken(error));
    guest.on('close', (code, reason) => {
      this.#stream.destroy();
      this.#broken(new Error('it broke off'));
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

  /** Before the workload has taken it that is an answer; after that 'close' follows. */
  #broken(error: Error): void {
    if (!this.#accepted) this.#refuse(`the workload did not take the WebSocket: ${error.message}`);
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
    // The agent ends what is silent for long, and the client is pinged by the server.
    if (this.#guest.readyState === GuestConnection.OPEN) this.#guest.ping();
  }

  #closeClient(code: number, reason: string): void {
    if (this.#clientIsGone || this.#client === null) return;
    this.#clientIsGone = true;
    this.#client.end(code, utf8(reason));
  }

  /** The close is sent and waited for a little; then the stream ends in any case. */
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
