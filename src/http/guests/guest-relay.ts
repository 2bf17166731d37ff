// http, guests: forwards one request to a guest and its answer to the client, both as streams. Backpressure bounds what the
// daemon buffers to a few chunks, and the end of one side ends the other.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { VolantError } from '../../lib/errors.ts';
import { StreamRequest } from '../../lib/net/stream-request.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { errorReply } from '../exchange/reply.ts';
import { ChunkedBody, type GuestBody, SizedBody } from './guest-body.ts';
import { GUEST_PAGE_HEADERS, type GuestRequestHead } from './guest-head.ts';

export interface RelayLimits {
  /** How long both sides may be silent. */
  readonly silenceMs: number;
  readonly bodyBytesMax: number;
}

/** What the client gets of the guest's answer. */
export interface AnswerRules {
  /** Names and values of its headers, from those of the guest in their order. Content-Length is not among them. */
  headers(raw: readonly string[]): readonly (readonly [string, string])[];
  /** The error that is answered instead of an answer of 400 or more; such answers pass if this is absent. */
  readonly refusal?: (incoming: IncomingMessage) => Promise<VolantError>;
  /**
   * Bytes of the request that are read and discarded before a refusal is answered: a connection that is closed with unread data
   * is reset, and most clients would not see the answer.
   */
  readonly refusedBytesMax?: number;
}

export interface RelayEvents {
  /** Called once at the end. */
  readonly onOver?: () => void;
  /** The client got a part of the answer, and then a closed connection, which does not say why. */
  readonly onCut?: (cause: Error) => void;
}

/**
 * The server disconnects a client that sends less than 160 KiB in 10 s, even while this daemon holds it back, and one that
 * once did not take all that was written to it, 10 s after it has, whatever is written meanwhile. Its timer is restarted at
 * this interval until the whole body has arrived, and again from such a write on; `silenceMs` is the real bound.
 */
const WIND_UP_MS = 3000;

export class GuestRelay {
  readonly #exchange: Exchange;
  readonly #outgoing: StreamRequest;
  readonly #limits: RelayLimits;
  readonly #isHead: boolean;
  readonly #rules: AnswerRules;
  readonly #timer: NodeJS.Timeout;
  #clock: NodeJS.Timeout | null;
  readonly #events: RelayEvents;
  #received = 0;
  #paused = false;
  #body: GuestBody | null = null;
  #isEventStream = false;
  /** The whole body of the request has arrived. */
  #isComplete = false;
  /** The guest has refused; the answer waits until enough of the request was discarded. */
  #refused: { readonly error: VolantError; readonly untilBytes: number } | null = null;
  #over = false;

  /**
   * Never throws, and owns the stream. Must be made before the first await of a handler.
   */
  constructor(
    exchange: Exchange,
    stream: Duplex,
    head: GuestRequestHead,
    rules: AnswerRules,
    limits: RelayLimits,
    events: RelayEvents = {},
  ) {
    this.#exchange = exchange;
    this.#limits = limits;
    this.#rules = rules;
    this.#isHead = head.method === 'HEAD';
    this.#events = events;
    const { method, target, headers } = head;
    this.#outgoing = new StreamRequest(
      stream,
      { method, path: target, headers },
      {
        onAnswer: (incoming) => this.#answer(incoming),
        onBroken: (error) => this.#broken(error),
      },
    );
    this.#timer = setTimeout(() => this.#silent(), limits.silenceMs);
    this.#clock = setInterval(() => this.#windUp(), WIND_UP_MS);
    exchange.onAborted(() => this.#end());
    exchange.response.onData((chunk, isLast) => this.#take(chunk, isLast));
  }

  /** Ends an endless answer. Others run to their end. */
  drain(): void {
    if (!this.#isEventStream || !this.#exchange.open) return;
    this.#body?.end();
  }

  #take(chunk: ArrayBuffer, isLast: boolean): void {
    if (this.#over || !this.#exchange.open) return;
    this.#timer.refresh();
    this.#received += chunk.byteLength;
    this.#isComplete = isLast;
    if (this.#refused !== null) {
      this.#answerRefusal(this.#refused);
      return;
    }
    const { bodyBytesMax } = this.#limits;
    if (this.#received > bodyBytesMax) {
      const why = `The body may have at most ${bodyBytesMax} bytes`;
      this.#fail(new VolantError('BODY_TOO_LARGE', why));
      return;
    }
    if (chunk.byteLength > 0) {
      // The memory of a chunk is only valid until this function returns.
      const room = this.#outgoing.write(Buffer.from(new Uint8Array(chunk)));
      if (!room && !isLast) this.#pause();
    }
    if (!isLast) return;
    this.#stopClock();
    this.#outgoing.finish();
  }

  #stopClock(): void {
    if (this.#clock !== null) clearInterval(this.#clock);
    this.#clock = null;
  }

  #windUp(): void {
    if (!this.#exchange.open) return;
    const { response } = this.#exchange;
    response.pause();
    if (!this.#paused) response.resume();
  }

  #pause(): void {
    // The server resumes reading after a write that its socket did not take.
    this.#exchange.response.pause();
    if (this.#paused) return;
    this.#paused = true;
    this.#outgoing.onDrain(() => {
      this.#timer.refresh();
      this.#resume();
    });
  }

  /** A response that ends while paused would never read the connection's next request. */
  #resume(): void {
    if (!this.#paused || !this.#exchange.open) return;
    this.#paused = false;
    this.#exchange.response.resume();
  }

  #answer(incoming: IncomingMessage): void {
    if (!this.#exchange.open) {
      incoming.destroy();
      return;
    }
    this.#timer.refresh();
    const status = incoming.statusCode ?? 502;
    const { refusal } = this.#rules;
    if (refusal !== undefined && status >= 400) {
      void refusal(incoming).then((error) => this.#refuse(error));
      return;
    }
    const length = incoming.headers['content-length'];
    const { response, extraHeaders } = this.#exchange;
    this.#isEventStream = /^text\/event-stream/i.test(incoming.headers['content-type'] ?? '');
    response.cork(() => {
      // Node reads octets as Latin-1; the server would write them as UTF-8.
      response.writeStatus(Buffer.from(`${status} ${incoming.statusMessage}`, 'latin1'));
      for (const [name, value] of this.#rules.headers(incoming.rawHeaders)) {
        response.writeHeader(name, Buffer.from(value, 'latin1'));
      }
      for (const [name, value] of [...GUEST_PAGE_HEADERS, ...extraHeaders]) {
        response.writeHeader(name, value);
      }
    });
    if (this.#isHead || status === 204 || status === 304) {
      incoming.resume();
      this.#answerWithoutBody(status, this.#isHead ? length : undefined);
      return;
    }
    this.#pass(incoming, status, length === undefined ? null : Number(length));
  }

  #answerWithoutBody(status: number, length: string | undefined): void {
    const { response } = this.#exchange;
    const release = this.#exchange.handOver(status);
    this.#resume();
    response.cork(() => {
      if (length !== undefined) response.writeHeader('Content-Length', length);
      response.endWithoutBody();
    });
    release();
    this.#end();
  }

  #pass(incoming: IncomingMessage, status: number, length: number | null): void {
    const { response } = this.#exchange;
    if (length === 0) {
      this.#answerEmpty(status);
      return;
    }
    const release = this.#exchange.handOver(status);
    const events = {
      onDrain: () => {
        this.#timer.refresh();
        incoming.resume();
      },
      onTried: () => {
        if (!this.#exchange.open) return;
        this.#clock ??= setInterval(() => this.#windUp(), WIND_UP_MS);
        if (this.#paused) response.pause();
      },
      beforeEnd: () => this.#resume(),
      onDone: () => {
        release();
        this.#end();
      },
    };
    const body =
      length === null ? new ChunkedBody(response, events) : new SizedBody(response, length, events);
    this.#body = body;
    incoming.on('data', (chunk: Buffer) => {
      if (this.#over) return;
      this.#timer.refresh();
      if (!body.write(chunk)) incoming.pause();
    });
    incoming.on('end', () => {
      if (this.#exchange.open && !this.#over) body.end();
    });
  }

  #answerEmpty(status: number): void {
    const { response } = this.#exchange;
    const release = this.#exchange.handOver(status);
    this.#resume();
    response.cork(() => response.end());
    release();
    this.#end();
  }

  /** Nothing more is sent to the guest. */
  #refuse(error: VolantError): void {
    if (this.#over || !this.#exchange.open) return;
    this.#outgoing.end();
    const { refusedBytesMax = 0 } = this.#rules;
    this.#refused = { error, untilBytes: this.#received + refusedBytesMax };
    this.#resume();
    this.#answerRefusal(this.#refused);
  }

  #answerRefusal({ error, untilBytes }: { error: VolantError; untilBytes: number }): void {
    if (!this.#isComplete && this.#received < untilBytes) return;
    // The rest of the body would be parsed as the next request.
    this.#exchange.reply(errorReply(error), !this.#isComplete);
    this.#end();
  }

  #silent(): void {
    if (this.#refused !== null) {
      this.#answerRefusal({ ...this.#refused, untilBytes: 0 });
      return;
    }
    const seconds = this.#limits.silenceMs / 1000;
    this.#broken(new Error(`both sides were silent for ${seconds} s`));
  }

  /** Before the answer has begun, a failure is an error answer. After that only closing the connection reports it. */
  #broken(cause: Error): void {
    if (this.#over) return;
    if (this.#body !== null) {
      this.#cut(cause);
      return;
    }
    const why = `The agent did not answer: ${cause.message}`;
    this.#fail(new VolantError('AGENT_UNREACHABLE', why, { cause }));
  }

  #fail(error: VolantError): void {
    // An answer that has begun cannot be replaced.
    if (this.#body !== null) {
      this.#cut(error);
      return;
    }
    this.#resume();
    // The rest of the body would be parsed as the next request.
    this.#exchange.reply(errorReply(error), true);
    this.#end();
  }

  #cut(cause: Error): void {
    if (this.#exchange.open) {
      this.#events.onCut?.(cause);
      this.#exchange.response.close();
    }
    this.#end();
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#stopClock();
    this.#body?.abandon();
    this.#outgoing.end();
    this.#events.onOver?.();
  }
}
