// lib: one HTTP request on a stream that was opened for it. This object owns both: the stream ends with the request on
// every path, and whatever goes wrong, also in what its user does with the answer, is told once and ends nothing else.

import {
  type ClientRequest,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http';
import type { Duplex } from 'node:stream';

/** Statuses of answers (RFC 9110, 15); clients take those that nobody has given a meaning as well. */
const FINAL_STATUS_MIN = 200;
const FINAL_STATUS_MAX = 999;

export interface StreamRequestEvents {
  /** The head of a final answer. What this throws breaks the request. */
  onAnswer(incoming: IncomingMessage): void;
  /** Called once at most, never from the constructor, and not after `end`. The stream has ended by then. */
  onBroken(error: Error): void;
  /** The stream is its receiver's from here on, and so are its errors. Where nobody waits for it, it breaks the request. */
  onSwitched?(answer: IncomingMessage, stream: Duplex, first: Buffer): void;
}

export type StreamRequestHead = Pick<RequestOptions, 'method' | 'path' | 'headers'>;

export class StreamRequest {
  readonly #stream: Duplex;
  readonly #events: StreamRequestEvents;
  readonly #outgoing: ClientRequest | null;
  #over = false;

  /** Never throws: a head that cannot be written is told by `onBroken`. */
  constructor(stream: Duplex, head: StreamRequestHead, events: StreamRequestEvents) {
    this.#stream = stream;
    this.#events = events;
    // node:http listens only while it uses the stream.
    stream.on('error', (error) => this.#broken(error));
    this.#outgoing = this.#begin(head);
  }

  /** false: the guest has no room; `onRoom` is told when it has. */
  write(chunk: Uint8Array): boolean {
    return this.#outgoing?.write(chunk) ?? true;
  }

  onRoom(listener: () => void): void {
    this.#outgoing?.once('drain', listener);
  }

  /** Nothing more will be written. */
  finish(chunk?: string | Uint8Array): void {
    this.#outgoing?.end(chunk);
  }

  /** Ends request and stream; nothing is told after it. */
  end(): void {
    this.#over = true;
    this.#outgoing?.destroy();
    // node:http ends a stream; whether it is over then would be for the guest to say.
    this.#stream.destroy();
  }

  #begin(head: StreamRequestHead): ClientRequest | null {
    let outgoing: ClientRequest;
    try {
      outgoing = httpRequest({ ...head, createConnection: () => this.#stream });
    } catch (error) {
      process.nextTick(() => this.#broken(error as Error));
      return null;
    }
    outgoing.on('error', (error) => this.#broken(error));
    outgoing.on('response', (incoming) => {
      // Also one that nobody reads: its error comes when the stream breaks.
      incoming.on('error', (error) => this.#broken(error));
      this.#answered(incoming);
    });
    // Without listeners node ends the connection and tells nobody.
    outgoing.on('upgrade', (...switched) => this.#switched(...switched));
    outgoing.on('connect', (...switched) => this.#switched(...switched));
    return outgoing;
  }

  #answered(incoming: IncomingMessage): void {
    const status = incoming.statusCode ?? 0;
    // Node takes every number, and 101 as an answer where nothing says what it switches to.
    if (status < FINAL_STATUS_MIN || status > FINAL_STATUS_MAX) {
      this.#broken(new Error(`${status} is the status of no answer`));
      return;
    }
    this.#tell(() => this.#events.onAnswer(incoming));
  }

  #switched(answer: IncomingMessage, stream: Duplex, first: Buffer): void {
    const { onSwitched } = this.#events;
    if (onSwitched === undefined || this.#over) {
      this.#broken(new Error('it switched to another protocol'));
      return;
    }
    this.#tell(() => onSwitched(answer, stream, first));
  }

  #tell(what: () => void): void {
    if (this.#over) return;
    try {
      what();
    } catch (error) {
      this.#broken(error as Error);
    }
  }

  #broken(error: Error): void {
    if (this.#over) return;
    this.end();
    this.#events.onBroken(error);
  }
}
