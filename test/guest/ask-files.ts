// test helpers: requests about files to an agent, over its channel.

import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import type { Duplex } from 'node:stream';

export interface FileAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: what an answer holds is what the test is about
  readonly json: any;
}

export interface FileRequest {
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent with its length. */
  readonly body?: Buffer | string;
  /** Sent chunked. */
  readonly chunks?: readonly Buffer[];
}

/** Sends "METHOD path?query" below /agent/files. Rejects for an answer that breaks off. */
export async function askFiles(
  channel: { open(): Duplex },
  target: string,
  { headers = {}, body, chunks }: FileRequest = {},
): Promise<FileAnswer> {
  const [method = '', path = ''] = target.split(/ (.*)/);
  const stream = channel.open();
  const length = chunks === undefined ? { 'Content-Length': Buffer.byteLength(body ?? '') } : {};
  const outgoing = request({
    method,
    path: `/agent/files${path}`,
    headers: { ...length, ...headers },
    createConnection: () => stream,
  });
  for (const chunk of chunks ?? []) outgoing.write(chunk);
  outgoing.end(body);
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  const received: Buffer[] = [];
  for await (const chunk of incoming) received.push(chunk as Buffer);
  stream.destroy();
  const bytes = Buffer.concat(received);
  const isJson = incoming.headers['content-type'] === 'application/json' && bytes.length > 0;
  return {
    status: incoming.statusCode ?? 0,
    headers: incoming.headers,
    body: bytes,
    text: bytes.toString(),
    json: isJson ? JSON.parse(bytes.toString()) : undefined,
  };
}
