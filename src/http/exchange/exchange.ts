// http, exchange: one request and its answer, wrapped so that the rules of uWebSockets.js cannot be broken: the request is
// read only while its handler runs, the response is not touched after the client disconnected, late writes are corked, and
// there is exactly one answer.

import type { HttpRequest, HttpResponse } from '../uws.ts';
import { sendPieces } from './pieces.ts';
import { type Reply, type WriteOptions, writeReply } from './reply.ts';
import { REQUEST_ID_HEADER } from './request-id.ts';

/** A request that has passed the origin guard. It can be read only while its handler runs. */
export interface IncomingRequest {
  readonly response: HttpResponse;
  readonly request: HttpRequest;
  readonly requestId: string;
}

/**
 * What a handler may read of its request. Copied before the first await; members that the operation does not use are empty.
 */
export interface RequestHead {
  /** Path parameters in their order, percent-decoded. */
  readonly parameters: readonly string[];
  /** Without the "?". */
  readonly query: string;
  readonly host: string;
  /** Id of the exchange: sent by the client, or a new one. */
  readonly requestId: string;
  /** Of a POST; empty if the client sends none. */
  readonly idempotencyKey: string;
  /** The client that asks for a change, for a fair share of capacity. Empty for requests that only read. */
  readonly client: string;
  /** The headers that the operation declares; empty text for each that the client does not send. */
  readonly headers: Readonly<Record<string, string>>;
}

/** The name of the VM, plugin or deployment that the request is about. */
export const nameIn = ({ parameters }: RequestHead): string => parameters[0] ?? '';

export type ExchangeOptions = Omit<WriteOptions, 'closeConnection'>;

export class Exchange {
  readonly response: HttpResponse;
  readonly #options: ExchangeOptions;
  readonly #onEnd: () => void;
  #state: 'open' | 'sending' | 'answered' | 'aborted' = 'open';
  readonly #onAborted: (() => void)[] = [];
  /** Gets the error when a later piece of an answer cannot be made. The client sees a connection that breaks. */
  onBroken: (error: unknown) => void = () => undefined;
  #status = 0;
  #isStreamed = false;

  constructor(response: HttpResponse, options: ExchangeOptions, onEnd: () => void) {
    this.response = response;
    this.#options = options;
    this.#onEnd = onEnd;
    response.onAborted(() => {
      if (this.#state === 'answered') return;
      this.#state = 'aborted';
      for (const listener of this.#onAborted) listener();
      this.#onEnd();
    });
  }

  /** false after the client disconnected or the answer was sent. */
  get open(): boolean {
    return this.#state === 'open';
  }

  /** The status of the answer; 0 before there is one. */
  get status(): number {
    return this.#status;
  }

  /** true if the answer was handed over to a writer of its own. */
  get isStreamed(): boolean {
    return this.#isStreamed;
  }

  /** true for HEAD: the answer has headers and no body. */
  get withoutBody(): boolean {
    return this.#options.withoutBody;
  }

  get requestId(): string {
    return this.#options.requestId;
  }

  onAborted(listener: () => void): void {
    this.#onAborted.push(listener);
  }

  /** Headers of every answer, for code that writes a streamed answer. */
  get extraHeaders(): WriteOptions['extraHeaders'] {
    const { requestId, extraHeaders } = this.#options;
    return [[REQUEST_ID_HEADER, requestId], ...extraHeaders];
  }

  /** Sends the answer, unless the client disconnected. */
  reply(reply: Reply, closeConnection = false): void {
    const { pieces } = reply;
    if (!this.open || this.withoutBody) pieces?.return?.();
    if (!this.open) return;
    this.#state = 'sending';
    this.#status = reply.status;
    const options: WriteOptions = { ...this.#options, closeConnection };
    const onSent = () => {
      this.#state = 'answered';
      this.#onEnd();
    };
    this.response.cork(() => writeReply(this.response, reply, options, onSent));
    if (pieces === undefined || this.withoutBody) return;
    this.onAborted(() => void pieces.return?.());
    sendPieces(
      this.response,
      pieces,
      () => this.#state === 'sending',
      onSent,
      (error) => this.onBroken(error),
    );
  }

  /**
   * For streamed answers: the caller writes the response from here on, and calls the returned function when it is complete.
   */
  handOver(status = 200): () => void {
    this.#status = status;
    this.#isStreamed = true;
    const end = this.#onEnd;
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      if (this.#state === 'open') {
        this.#state = 'answered';
        end();
      }
    };
  }
}

/** Percent-decoded. A malformed text is returned unchanged; it matches no name. */
export function decoded(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
