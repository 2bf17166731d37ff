// test helpers: an HTTP server that answers what a test tells it to and remembers what it was asked.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

export interface SeenRequest {
  readonly method: string;
  /** With the query, but for strict=true. */
  readonly path: string;
  readonly strict: boolean;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export type Answer = (request: SeenRequest, response: ServerResponse) => void;

export interface FakeDaemon {
  readonly url: string;
  readonly seen: SeenRequest[];
  readonly server: Server;
  /** Requests as "METHOD path", in order. */
  calls(): string[];
}

/** Listens until the test ends, on a port of its own or on a unix socket. */
export async function startFakeDaemon(
  t: TestContext,
  answer: Answer,
  socketPath?: string,
): Promise<FakeDaemon> {
  const seen: SeenRequest[] = [];
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk) => chunks.push(chunk));
    incoming.on('end', () => {
      const { method = '', url = '', headers } = incoming;
      const path = url.replace(/[?&]strict=true$/, '');
      const strict = path !== url;
      const request = { method, path, strict, headers, body: Buffer.concat(chunks).toString() };
      seen.push(request);
      answer(request, response);
    });
  });
  await new Promise<void>((resolve) => {
    if (socketPath === undefined) server.listen(0, '127.0.0.1', resolve);
    else server.listen(socketPath, resolve);
  });
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url =
    socketPath === undefined
      ? `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      : `unix:${socketPath}`;
  const calls = () => seen.map(({ method, path }) => `${method} ${path}`);
  return { url, seen, server, calls };
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

/** A VM as the API shows it. */
export function vmBody(name: string, more: object = {}): object {
  return {
    id: 1,
    name,
    status: 'running',
    runtime: 'hello',
    plugin: 'hello',
    pid: 4242,
    ip_address: '192.168.127.10',
    mac_address: '02:00:00:00:00:01',
    vsock_cid: 3,
    cpu_cores: 1,
    memory_mb: 128,
    kernel_cmdline: '',
    serial_socket: '/run/volant/1/serial.sock',
    created_at: '2026-01-01T00:00:00.000Z',
    updated_at: '2026-01-01T00:00:00.000Z',
    ...more,
  };
}
