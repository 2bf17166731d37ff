// http: one request on its way to a guest and the answer on its way back, both as streams. Neither side
// can make the daemon hold more than a few chunks, and the end of one side is the end of the other.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { VolantError } from '../lib/errors.ts';
import { StreamRequest } from '../lib/stream-request.ts';
import type { Exchange } from './exchange.ts';
import { ChunkedBody, type GuestBody, SizedBody } from './guest-body.ts';
import { GUEST_PAGE_HEADERS, type GuestRequestHead, headersForClient } from './guest-head.ts';
import type { GuestRequestPlace } from './guest-location.ts';
import { errorReply } from './reply.ts';

export interface RelayLimits {
  /** Neither side sent anything for so long. */
  readonly silenceMs: number;
  readonly bodyBytesMax: number;
}

/**
 * The server cuts off without a word who sends less than 160 KiB in 10 s, also whom we hold back. This often its clock
 * is wound up again, until the whole body is here: how long a request may be silent is for `silenceMs` to say.
 */
const WIND_UP_MS = 3000;

export class GuestRelay {
  readonly #exchange: Exchange;
  readonly #outgoing: StreamRequest;
  readonly #limits: RelayLimits;
  readonly #isHead: boolean;
  readonly #place: () => GuestRequestPlace;
  readonly #timer: NodeJS.Timeout;
  readonly #clock: NodeJS.Timeout;
  readonly #onOver: () => void;
  #received = 0;
  #paused = false;
  #body: GuestBody | null = null;
  #isEventStream = false;
  #over = false;

  /**
   * Never throws; owns the stream. Must be made before the first await of a handler. `workloadUrl` is asked for
   * redirects, `onOver` is called once.
   */
  constructor(
    exchange: Exchange,
    stream: Duplex,
    head: GuestRequestHead,
    workloadUrl: () => string | null,
    limits: RelayLimits,
    onOver: () => void,
  ) {
    this.#exchange = exchange;
    this.#limits = limits;
    this.#place = (): GuestRequestPlace => ({ ...head, workloadUrl: workloadUrl() });
    this.#isHead = head.method === 'HEAD';
    this.#onOver = onOver;
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

  /** Ends an answer that would go on for ever; others are left to come to their end. */
  drain(): void {
    if (!this.#isEventStream || !this.#exchange.open) return;
    this.#body?.end();
  }

  #take(chunk: ArrayBuffer, isLast: boolean): void {
    if (this.#over || !this.#exchange.open) return;
    this.#timer.refresh();
    this.#received += chunk.byteLength;
    const { bodyBytesMax } = this.#limits;
    if (this.#received > bodyBytesMax) {
      const why = `The body may have ${bodyBytesMax} bytes`;
      this.#fail(new VolantError('BODY_TOO_LARGE', why));
      return;
    }
    if (chunk.byteLength > 0) {
      // The memory of a chunk is only ours until this returns.
      const room = this.#outgoing.write(Buffer.from(new Uint8Array(chunk)));
      if (!room && !isLast) this.#pause();
    }
    if (!isLast) return;
    clearInterval(this.#clock);
    this.#outgoing.finish();
  }

  #windUp(): void {
    if (!this.#exchange.open) return;
    const { response } = this.#exchange;
    response.pause();
    if (!this.#paused) response.resume();
  }

  #pause(): void {
    // The server reads on after a write that its socket did not take.
    this.#exchange.response.pause();
    if (this.#paused) return;
    this.#paused = true;
    this.#outgoing.onRoom(() => {
      this.#timer.refresh();
      this.#resume();
    });
  }

  /** A response that ends paused would never read the connection's next request. */
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
    const length = incoming.headers['content-length'];
    const status = incoming.statusCode ?? 502;
    const { response, extraHeaders } = this.#exchange;
    this.#isEventStream = /^text\/event-stream/i.test(incoming.headers['content-type'] ?? '');
    response.cork(() => {
      // Node reads octets as Latin-1; the server would write them as UTF-8.
      response.writeStatus(Buffer.from(`${status} ${incoming.statusMessage}`, 'latin1'));
      for (const [name, value] of headersForClient(incoming.rawHeaders, this.#place)) {
        response.writeHeader(name, Buffer.from(value, 'latin1'));
      }
      for (const [name, value] of [...GUEST_PAGE_HEADERS, ...extraHeaders]) {
        response.writeHeader(name, value);
      }
    });
    if (this.#isHead || status === 204 || status === 304) {
      incoming.resume();
      this.#answerWithoutBody(this.#isHead ? length : undefined);
      return;
    }
    this.#pass(incoming, length === undefined ? null : Number(length));
  }

  #answerWithoutBody(length: string | undefined): void {
    const { response } = this.#exchange;
    const release = this.#exchange.handOver();
    this.#resume();
    response.cork(() => {
      if (length !== undefined) response.writeHeader('Content-Length', length);
      response.endWithoutBody();
    });
    release();
    this.#end();
  }

  #pass(incoming: IncomingMessage, length: number | null): void {
    const { response } = this.#exchange;
    if (length === 0) {
      this.#answerEmpty();
      return;
    }
    const release = this.#exchange.handOver();
    const events = {
      onRoom: () => {
        this.#timer.refresh();
        incoming.resume();
      },
      onTried: () => {
        if (this.#paused && this.#exchange.open) response.pause();
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

  #answerEmpty(): void {
    const { response } = this.#exchange;
    const release = this.#exchange.handOver();
    this.#resume();
    response.cork(() => response.end());
    release();
    this.#end();
  }

  #silent(): void {
    const seconds = this.#limits.silenceMs / 1000;
    this.#broken(new Error(`nothing was sent for ${seconds} s`));
  }

  /** Before the answer has begun it can be told; after that only by a connection that breaks. */
  #broken(cause: Error): void {
    if (this.#over) return;
    if (this.#body !== null) {
      if (this.#exchange.open) this.#exchange.response.close();
      this.#end();
      return;
    }
    const why = `The agent did not answer: ${cause.message}`;
    this.#fail(new VolantError('AGENT_UNREACHABLE', why, { cause }));
  }

  #fail(error: VolantError): void {
    // An answer that has begun cannot become another one.
    if (this.#body !== null) {
      if (this.#exchange.open) this.#exchange.response.close();
    } else {
      this.#resume();
      // What is left of the body would be taken for the next request.
      this.#exchange.reply(errorReply(error), true);
    }
    this.#end();
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    clearInterval(this.#clock);
    this.#body?.abandon();
    this.#outgoing.end();
    this.#onOver();
  }
}
