// lib, net: one HTTP request on a stream that was opened for it. The object owns both: the stream ends with the
// request on every path. Every error, also one of the handler of the answer, is reported once and affects nothing
// else.

import {
  type ClientRequest,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http';
import type { Duplex } from 'node:stream';

/** Range of final status codes (RFC 9110, 15), including those without an assigned meaning. */
const FINAL_STATUS_MIN = 200;
const FINAL_STATUS_MAX = 999;

export interface StreamRequestEvents {
  /** Called with the head of a final answer. An error that it throws breaks the request. */
  onAnswer(incoming: IncomingMessage): void;
  /** Called at most once, never from the constructor, and not after `end`. The stream has ended by then. */
  onBroken(error: Error): void;
  /**
   * Called after a switch of protocols: the receiver owns the stream and its errors. Without this handler a switch
   * breaks the request.
   */
  onSwitched?(answer: IncomingMessage, stream: Duplex, first: Buffer): void;
}

export type StreamRequestHead = Pick<RequestOptions, 'method' | 'path' | 'headers'>;

/** One request and its stream. */
export class StreamRequest {
  readonly #stream: Duplex;
  readonly #events: StreamRequestEvents;
  readonly #outgoing: ClientRequest | null;
  #over = false;

  /** Never throws: a head that cannot be written is reported by `onBroken`. */
  constructor(stream: Duplex, head: StreamRequestHead, events: StreamRequestEvents) {
    this.#stream = stream;
    this.#events = events;
    // node:http has an error listener only while it uses the stream.
    stream.on('error', (error) => this.#broken(error));
    this.#outgoing = this.#begin(head);
  }

  /** Writes a chunk of the body. false: the buffer is full; `onDrain` says when to continue. */
  write(chunk: Uint8Array): boolean {
    return this.#outgoing?.write(chunk) ?? true;
  }

  /** Calls back once when the buffer has space again. */
  onDrain(listener: () => void): void {
    this.#outgoing?.once('drain', listener);
  }

  /** Ends the body. */
  finish(chunk?: string | Uint8Array): void {
    this.#outgoing?.end(chunk);
  }

  /** Ends request and stream. No event follows. */
  end(): void {
    this.#over = true;
    this.#outgoing?.destroy();
    // node:http only half-closes the stream; its end would depend on the guest.
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
      // Also for an answer that nobody reads: it has an error when the stream breaks.
      incoming.on('error', (error) => this.#broken(error));
      this.#answered(incoming);
    });
    // Without listeners node:http ends the connection silently.
    outgoing.on('upgrade', (...switched) => this.#switched(...switched));
    outgoing.on('connect', (...switched) => this.#switched(...switched));
    return outgoing;
  }

  #answered(incoming: IncomingMessage): void {
    const status = incoming.statusCode ?? 0;
    // Node accepts every number, and 101 as an answer without an Upgrade header.
    if (status < FINAL_STATUS_MIN || status > FINAL_STATUS_MAX) {
      this.#broken(new Error(`${status} is the status of no answer`));
      return;
    }
    this.#notify(() => this.#events.onAnswer(incoming));
  }

  #switched(answer: IncomingMessage, stream: Duplex, first: Buffer): void {
    const { onSwitched } = this.#events;
    if (onSwitched === undefined || this.#over) {
      this.#broken(new Error('it switched to another protocol'));
      return;
    }
    this.#notify(() => onSwitched(answer, stream, first));
  }

  #notify(what: () => void): void {
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
