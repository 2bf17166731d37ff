// test, http: a reader of Server-Sent Events that can stop reading for a while.

import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import type { TestContext } from 'node:test';
import { eventually, inTime, type TestServer } from '../harness.ts';

export interface SeenEvent {
  readonly id: number;
  readonly event: string;
  readonly data: { readonly type: string; readonly name: string; readonly message?: string };
}

export class SseReader {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly events: SeenEvent[] = [];
  readonly comments: string[] = [];
  /** What came and is no stream: the body of an error. */
  rest = '';
  ended = false;
  readonly #response: IncomingMessage;

  private constructor(response: IncomingMessage) {
    this.#response = response;
    this.status = response.statusCode ?? 0;
    this.headers = response.headers;
    response.setEncoding('utf8');
    response.on('data', (text: string) => this.#take(text));
    response.once('close', () => {
      this.ended = true;
    });
    // The server may cut a reader off; the test looks at `ended`.
    response.on('error', () => undefined);
  }

  /** Resolves when the head has come. */
  static open(
    t: TestContext,
    { server }: Pick<TestServer, 'server'>,
    path: string,
    headers: Record<string, string> = {},
  ): Promise<SseReader> {
    const opened = new Promise<SseReader>((resolve, reject) => {
      const client = request({ host: '127.0.0.1', port: server.port, path, headers, agent: false });
      t.after(() => client.destroy());
      client.once('error', reject);
      client.once('response', (response) => resolve(new SseReader(response)));
      client.end();
    });
    return inTime(opened, path);
  }

  pause(): void {
    this.#response.pause();
  }

  resume(): void {
    this.#response.resume();
  }

  close(): void {
    this.#response.destroy();
  }

  /** Resolves when so many events have come. */
  async until(count: number): Promise<void> {
    await eventually(() => this.events.length >= count, `${count} events`);
  }

  async end(): Promise<void> {
    await eventually(() => this.ended, 'the end of the stream');
  }

  /** "id name" of each event so far. */
  summary(): string[] {
    return this.events.map(({ id, data }) => `${id} ${data.name || data.type}`);
  }

  #take(text: string): void {
    const blocks = (this.rest + text).split('\n\n');
    this.rest = blocks.pop() ?? '';
    for (const block of blocks) {
      if (block.startsWith(':')) this.comments.push(block.slice(2));
      else this.events.push(parseEvent(block));
    }
  }
}

/** Exactly the three lines that the documentation promises. */
function parseEvent(block: string): SeenEvent {
  const match = /^id: (\d+)\nevent: ([A-Z_]+)\ndata: (.*)$/.exec(block);
  if (match === null) throw new Error(`not an event: ${JSON.stringify(block)}`);
  const [, id, event = '', data = ''] = match;
  return { id: Number(id), event, data: JSON.parse(data) as SeenEvent['data'] };
}
