// test, http: a real server on a real socket, and the clients that tests ask it with: one that speaks
// HTTP properly and one that sends any bytes.

import assert from 'node:assert/strict';
import { type Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { loadConfig } from '../../src/config.ts';
import { native } from '../../src/host/jobs/native.ts';
import { type HttpServer, startHttpServer } from '../../src/http/server.ts';
import type { StreamLimits } from '../../src/http/streams/sse.ts';
import type { Logger } from '../../src/lib/log/log.ts';
import { createFakeEngine, type FakeEngine } from './fake-engine.ts';

// Taken before a test can replace it: some hold the server's timers still.
const { setTimeout: startTimer, clearTimeout: stopTimer } = globalThis;

/** Only what hangs for good gets this far. */
const PATIENCE_MS = 60_000;

/** Rejects when something does not happen at all. */
export async function inTime<T>(promise: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = startTimer(() => reject(new Error(`waited in vain: ${what}`)), PATIENCE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    stopTimer(timer);
  }
}

/** Resolves when the condition holds. */
export async function eventually(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await pause(5);
  }
}

export function pause(durationMs: number): Promise<void> {
  return new Promise((resolve) => startTimer(resolve, durationMs));
}

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
  readonly bindings: object;
}

function recordingLog(lines: LogLine[]): Logger {
  const at = (level: LogLine['level']) => (bindings: object, message: string) =>
    void lines.push({ level, message, bindings });
  const log: Logger = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => log,
  };
  return log;
}

/** Where a server is found. */
export type Address = { readonly port: number } | { readonly path: string };

export interface TestServer {
  readonly address: Address;
  readonly server: HttpServer;
  readonly fake: FakeEngine;
  readonly log: readonly LogLine[];
}

export interface ServerOptions {
  readonly fake?: FakeEngine;
  /** Settings as an operator writes them. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly streamLimits?: StreamLimits;
  readonly uiDirectory?: string;
}

/** Serves until the test ends, on a port of its own or where VOLANT_API_LISTEN says. */
export async function startServer(
  t: TestContext,
  options: ServerOptions = {},
): Promise<TestServer> {
  const fake = options.fake ?? createFakeEngine();
  const lines: LogLine[] = [];
  const config = loadConfig({
    VOLANT_HOME: '/tmp/volant-test-http',
    VOLANT_API_LISTEN: '127.0.0.1:0',
    ...options.environment,
  });
  const { listen } = config;
  const server = await startHttpServer({
    engine: fake.engine,
    config,
    log: recordingLog(lines),
    openapi: { openapi: '3.0.3', info: { title: 'test' } },
    listenControl: native,
    ...(options.uiDirectory === undefined ? {} : { uiDirectory: options.uiDirectory }),
    ...(options.streamLimits === undefined ? {} : { streamLimits: options.streamLimits }),
  });
  t.after(() => server.close());
  const address = listen.kind === 'unix' ? { path: listen.path } : { port: server.port ?? 0 };
  return { address, server, fake, log: lines };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent with Content-Length; an array is sent in chunks. */
  readonly body?: string | Buffer | readonly string[];
  readonly agent?: Agent;
}

/** One request of a client that knows HTTP. `target` is "METHOD path". */
export function ask(
  { address }: Pick<TestServer, 'address'>,
  target: string,
  { headers = {}, body, agent }: RequestOptions = {},
): Promise<Answer> {
  const [method = '', path = ''] = target.split(' ');
  const where =
    'port' in address ? { host: '127.0.0.1', ...address } : { socketPath: address.path };
  const whole = typeof body === 'string' || Buffer.isBuffer(body);
  const length = whole ? { 'Content-Length': String(Buffer.byteLength(body)) } : {};
  const answer = new Promise<Answer>((resolve, reject) => {
    const client = httpRequest(
      { ...where, method, path, agent: agent ?? false, headers: { ...length, ...headers } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.once('error', reject);
        response.once('end', () => {
          const { statusCode: status = 0, headers } = response;
          resolve({ status, headers, text: Buffer.concat(chunks).toString() });
        });
      },
    );
    client.once('error', reject);
    if (whole) client.write(body);
    else for (const chunk of body ?? []) client.write(chunk);
    client.end();
  });
  return inTime(answer, target);
}

export interface ErrorBody {
  readonly error: string;
  readonly code: string;
  readonly details?: Readonly<Record<string, string>>;
}

/** Every error of the API has this one shape. */
export function errorIn({ status, text }: Pick<Answer, 'status' | 'text'>): ErrorBody {
  assert.ok(status >= 400, `${status} is no error: ${text}`);
  const body = JSON.parse(text) as ErrorBody;
  assert.equal(typeof body.error, 'string');
  assert.equal(typeof body.code, 'string');
  return body;
}

/** "status code" of an answer: the two things that programs look at. */
export function outcome(answer: Pick<Answer, 'status' | 'text'>): string {
  return answer.status < 400 ? `${answer.status}` : `${answer.status} ${errorIn(answer).code}`;
}

/** A connection that sends what it is told to, byte by byte, and takes answers apart itself. */
export class RawClient {
  readonly socket: Socket;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #ended = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
    });
    // A reset is one of the ways in which a server ends a connection.
    socket.on('error', () => undefined);
    socket.once('end', () => {
      this.#ended = true;
    });
    socket.once('close', () => {
      this.#ended = true;
    });
  }

  static async open(t: TestContext, { address }: Pick<TestServer, 'address'>): Promise<RawClient> {
    const socket = connect('port' in address ? { host: '127.0.0.1', ...address } : address);
    const client = new RawClient(socket);
    t.after(() => socket.destroy());
    await inTime(new Promise((resolve) => socket.once('connect', resolve)), 'connect');
    return client;
  }

  /** What came and was not taken by answer(). */
  get received(): string {
    return this.#joined().toString('latin1');
  }

  #joined(): Buffer {
    const [first = Buffer.alloc(0)] = this.#chunks;
    const whole = this.#chunks.length > 1 ? Buffer.concat(this.#chunks) : first;
    this.#chunks = [whole];
    return whole;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Lines end in CRLF; a head is given without its empty line. */
  head(...lines: readonly string[]): this {
    return this.send(`${lines.join('\r\n')}\r\n\r\n`);
  }

  send(data: string | Buffer): this {
    this.socket.write(data);
    return this;
  }

  /** The next whole answer. An answer to HEAD has no body, whatever its length says. */
  async answer(method = 'GET'): Promise<Answer> {
    const findEnd = () => this.#joined().indexOf('\r\n\r\n');
    await eventually(() => findEnd() >= 0 || this.#ended, 'an answer');
    const headEnd = findEnd();
    assert.notEqual(headEnd, -1, `the connection ended after ${JSON.stringify(this.received)}`);
    const text = this.#joined().toString('latin1', 0, headEnd);
    const [statusLine = '', ...lines] = text.split('\r\n');
    const headers: IncomingHttpHeaders = Object.fromEntries(
      lines.map((line) => [
        line.slice(0, line.indexOf(':')).toLowerCase(),
        line.slice(line.indexOf(':') + 1).trim(),
      ]),
    );
    const status = Number(statusLine.split(' ')[1]);
    const inPieces = headers['transfer-encoding'] === 'chunked' && method !== 'HEAD';
    if (inPieces && headers['content-type'] === 'application/json') {
      return { status, headers, text: await this.#pieces(headEnd + 4) };
    }
    const bytes = method === 'HEAD' ? 0 : Number(headers['content-length'] ?? 0);
    const end = headEnd + 4 + bytes;
    await eventually(() => this.#bytes >= end || this.#ended, 'the body of an answer');
    return { status, headers, text: this.#take(end).toString('utf8', headEnd + 4) };
  }

  /** A body of chunks (RFC 9112, 7.1), up to its last one or to the end of the connection. */
  async #pieces(start: number): Promise<string> {
    const last = '\r\n0\r\n\r\n';
    const isWhole = () => {
      const from = Math.max(start - 2, this.#bytes - last.length);
      return this.#joined().toString('latin1', from) === last;
    };
    await eventually(() => isWhole() || this.#ended, 'the last piece of an answer');
    const pieces: Buffer[] = [];
    const whole = this.#take(this.#bytes);
    for (let at = start; at < whole.length; ) {
      const lineEnd = whole.indexOf('\r\n', at);
      const size = Number.parseInt(whole.toString('latin1', at, lineEnd), 16);
      if (lineEnd < 0 || size === 0) break;
      pieces.push(whole.subarray(lineEnd + 2, lineEnd + 2 + size));
      at = lineEnd + 4 + size;
    }
    return Buffer.concat(pieces).toString('utf8');
  }

  #take(end: number): Buffer {
    const whole = this.#joined();
    this.#chunks = [whole.subarray(end)];
    this.#bytes = Math.max(this.#bytes - end, 0);
    return whole.subarray(0, end);
  }

  /** Resolves when the server has ended the connection. */
  async end(): Promise<void> {
    await eventually(() => this.#ended, 'the end of the connection');
  }
}
