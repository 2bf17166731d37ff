// http: one request and its answer, behind a face that makes uWebSockets' rules impossible to break:
// the request is only read while its handler runs, the response is not touched after the client has
// gone, late writes are corked, and there is one answer.

import { type Reply, type WriteOptions, writeReply } from './reply.ts';
import { REQUEST_ID_HEADER } from './request-id.ts';
import type { HttpResponse } from './uws.ts';

/** What a handler may read of its request. Copied before the first await; empty where the operation has no use for it. */
export interface RequestHead {
  /** Path parameters in their order, percent-decoded. */
  readonly parameters: readonly string[];
  /** Without the "?". */
  readonly query: string;
  readonly host: string;
  /** Of the exchange: the client's own or a new one. */
  readonly requestId: string;
  /** Of a POST; empty where the client sends none. */
  readonly idempotencyKey: string;
  /** Who asks for a change: with whom others' work is shared out fairly. Empty for what only reads. */
  readonly client: string;
  /** The headers that the operation declares; empty where the client sends none. */
  readonly headers: Readonly<Record<string, string>>;
}

export type ExchangeOptions = Omit<WriteOptions, 'closeConnection'>;

export class Exchange {
  readonly response: HttpResponse;
  readonly #options: ExchangeOptions;
  readonly #onEnd: () => void;
  #state: 'open' | 'sending' | 'answered' | 'aborted' = 'open';
  readonly #onAborted: (() => void)[] = [];

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

  /** false once the client has gone or the answer was sent. */
  get open(): boolean {
    return this.#state === 'open';
  }

  /** HEAD: all but the body. */
  get withoutBody(): boolean {
    return this.#options.withoutBody;
  }

  get requestId(): string {
    return this.#options.requestId;
  }

  onAborted(listener: () => void): void {
    this.#onAborted.push(listener);
  }

  /** What every answer has, for who writes one that goes on. */
  get extraHeaders(): WriteOptions['extraHeaders'] {
    const { requestId, extraHeaders } = this.#options;
    return [[REQUEST_ID_HEADER, requestId], ...extraHeaders];
  }

  /** Sends the answer, unless the client has gone. */
  reply(reply: Reply, closeConnection = false): void {
    if (!this.open) return;
    this.#state = 'sending';
    const options: WriteOptions = { ...this.#options, closeConnection };
    const onSent = () => {
      this.#state = 'answered';
      this.#onEnd();
    };
    this.response.cork(() => writeReply(this.response, reply, options, onSent));
  }

  /** For answers that go on: the writer has taken over, `release` tells that it is done. */
  handOver(): () => void {
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

/** Percent-decoded; a malformed text stays as it is and will match nothing. */
export function decoded(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
