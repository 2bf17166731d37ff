// fuzz: a guest's whole answer to a proxied request, through node's parser and our relay. Whatever it is, the client
// gets one answer or a broken connection, and nothing is left.

import { Duplex } from 'node:stream';
import { Exchange } from '../../../src/http/exchange/exchange.ts';
import { fileHeaders, refusalIn } from '../../../src/http/guests/files/answer-rules.ts';
import { headersForClient } from '../../../src/http/guests/guest-head.ts';
import { GuestRelay } from '../../../src/http/guests/guest-relay.ts';
import type { HttpResponse } from '../../../src/http/uws.ts';
import { type FuzzTarget, hold, piecesOf } from '../target.ts';

const SILENCE_MS = 60_000;
const TURNS_MAX = 400;

/** The guest's end: takes what is asked and says what the input has, once. */
class SayingGuest extends Duplex {
  readonly #pieces: Buffer[];

  constructor(pieces: Buffer[]) {
    super();
    this.#pieces = pieces;
  }

  override _read(): void {
    const piece = this.#pieces.shift();
    setImmediate(() => this.push(piece ?? null));
  }

  override _write(_chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    done();
  }
}

/** The server's answer as it may be used: once, in its order. */
class CheckedResponse {
  #status: string | null = null;
  #isOver = false;
  #bodyBytes = 0;
  #onAborted: () => void = () => undefined;
  readonly #headers: string[] = [];

  get isOver(): boolean {
    return this.#isOver;
  }

  onAborted(handler: () => void): this {
    this.#onAborted = handler;
    return this;
  }

  onData(handler: (chunk: ArrayBuffer, isLast: boolean) => void): this {
    handler(new ArrayBuffer(0), true);
    return this;
  }

  onWritable(): this {
    return this;
  }

  pause(): this {
    return this;
  }

  resume(): this {
    return this;
  }

  cork(write: () => void): this {
    write();
    return this;
  }

  getWriteOffset(): number {
    return this.#bodyBytes;
  }

  writeStatus(status: string | Uint8Array): this {
    hold(
      !this.#isOver && this.#status === null && this.#headers.length === 0,
      'the status comes first and once',
    );
    this.#status = Buffer.from(status).toString('latin1');
    hold(/^[2-9]\d\d [^\r\n]*$/.test(this.#status), `a final status: ${this.#status}`);
    return this;
  }

  writeHeader(name: string, value: string | Uint8Array): this {
    hold(!this.#isOver && this.#bodyBytes === 0, 'headers come before the body');
    const text = Buffer.from(value).toString('latin1');
    // Content-Type and the id of the request go out in one call.
    const [, first = text, id = ''] = /^(.*)\r\nX-Request-Id: (.*)$/.exec(text) ?? [];
    hold(!/[\r\n\0]/.test(`${name}${first}${id}`), 'a header is one line');
    this.#headers.push(name.toLowerCase());
    return this;
  }

  write(chunk: Uint8Array): boolean {
    hold(!this.#isOver, 'nothing is written behind the end');
    this.#bodyBytes += chunk.length;
    return true;
  }

  tryEnd(chunk: Uint8Array, bytes: number): [boolean, boolean] {
    hold(!this.#isOver, 'nothing is written behind the end');
    hold(Number.isSafeInteger(bytes) && bytes > 0, 'a length is a whole number');
    this.#bodyBytes += chunk.length;
    this.#isOver = this.#bodyBytes >= bytes;
    return [true, this.#isOver];
  }

  end(): this {
    return this.#end();
  }

  endWithoutBody(): this {
    return this.#end();
  }

  /** The server tells of this as of a client that goes. */
  close(): this {
    this.#end();
    this.#onAborted();
    return this;
  }

  #end(): this {
    hold(!this.#isOver, 'an answer ends once');
    this.#isOver = true;
    return this;
  }
}

/** Of the proxy to agents, and of files. */
const PROXY_RULES = {
  headers: (raw: readonly string[]) =>
    headersForClient(raw, () => ({ agentPath: '', target: '/v1/', workloadUrl: null })),
};
const FILE_RULES = { headers: fileHeaders, refusal: refusalIn };

export const guestAnswers: FuzzTarget = {
  name: 'guest-answers',
  bytesMax: 4096,
  tokens: [
    'HTTP/1.1 200 OK\r\n',
    'HTTP/1.1 101 \r\n',
    'HTTP/1.1 100 Continue\r\n\r\n',
    'Content-Length: 3\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Location: /x\r\n',
    'Content-Type: text/event-stream\r\n',
    '\r\n\r\n',
    '3\r\nabc\r\n',
    '0\r\n\r\n',
  ],
  async run(input) {
    const method = ['GET', 'HEAD', 'POST'][(input[0] ?? 0) % 3] ?? 'GET';
    const guest = new SayingGuest(piecesOf(input.subarray(1), input.length).slice(0, 200));
    const response = new CheckedResponse();
    let overCount = 0;
    const exchange = new Exchange(
      response as unknown as HttpResponse,
      { extraHeaders: [], requestId: 'fuzz', withoutBody: method === 'HEAD' },
      () => undefined,
    );
    const head = {
      method,
      agentPath: '/api/v1/vms/one/agent',
      target: '/v1/',
      headers: { host: 'agent' },
      upgrades: false,
    };
    const limits = { silenceMs: SILENCE_MS, bodyBytesMax: 1024 };
    new GuestRelay(
      exchange,
      guest,
      head,
      ((input[0] ?? 0) & 4) === 0 ? PROXY_RULES : FILE_RULES,
      limits,
      {
        onOver: () => {
          overCount += 1;
        },
      },
    );
    for (let turn = 0; turn < TURNS_MAX && overCount === 0; turn += 1) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    await new Promise((resolve) => setImmediate(resolve));
    hold(overCount === 1, 'a relay is over once its guest has gone');
    hold(response.isOver, 'a client is answered or told by a broken connection');
    hold(guest.destroyed, 'nothing is left of the stream');
  },
};
