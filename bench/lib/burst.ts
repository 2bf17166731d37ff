// bench: many requests at once over raw connections, so that the load itself costs next to nothing: what each was
// answered, and when. Measurements and tests share it; what the requests mean is not known here.

import { connect, type Socket } from 'node:net';

export interface BurstRequest {
  readonly method: string;
  readonly path: string;
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface BurstAnswer {
  readonly index: number;
  /** 0: the connection ended without an answer. */
  readonly status: number;
  /** The error's code; empty where there is none. */
  readonly code: string;
  readonly retryAfterSeconds: number | null;
  /** Since the burst began. */
  readonly sentMs: number;
  readonly answeredMs: number;
}

/** Sends 0 to count-1, each connection one after the other, and resolves when all have ended. */
export async function burst(
  port: number,
  count: number,
  connections: number,
  requestOf: (index: number) => BurstRequest,
  localAddress: string | null = null,
): Promise<readonly BurstAnswer[]> {
  const answers: BurstAnswer[] = [];
  const startedMs = performance.now();
  let next = 0;
  const line = async () => {
    const client = new RawClient(port, localAddress);
    while (next < count) {
      const index = next++;
      const sentMs = performance.now() - startedMs;
      const answer = await client.ask(requestOf(index));
      answers.push({ index, ...answer, sentMs, answeredMs: performance.now() - startedMs });
    }
    client.close();
  };
  await Promise.all(Array.from({ length: Math.min(connections, count) }, line));
  return answers;
}

/** One connection that is kept, and opened again when the daemon has closed it. */
export class RawClient {
  readonly #port: number;
  readonly #localAddress: string | null;
  #connection: Connection | null = null;

  /** `localAddress` is what its connections come from: the daemon tells clients by it. */
  constructor(port: number, localAddress: string | null = null) {
    this.#port = port;
    this.#localAddress = localAddress;
  }

  /** One question at a time. */
  async ask(
    request: BurstRequest,
  ): Promise<Pick<BurstAnswer, 'status' | 'code' | 'retryAfterSeconds'>> {
    this.#connection ??= await open(this.#port, this.#localAddress);
    const { text, isOpen } = await ask(this.#connection, request);
    if (!isOpen) this.#connection = null;
    return read(text);
  }

  close(): void {
    this.#connection?.socket.destroy();
    this.#connection = null;
  }
}

interface Connection {
  readonly socket: Socket;
  onText: (chunk: string) => void;
  onEnd: () => void;
}

function open(port: number, localAddress: string | null): Promise<Connection> {
  return new Promise((resolve) => {
    // Asked for an address, the kernel looks for a free port one by one: thousands take seconds.
    const from = localAddress === null ? {} : { localAddress };
    const socket = connect({ port, host: '127.0.0.1', noDelay: true, ...from });
    const connection: Connection = { socket, onText: () => undefined, onEnd: () => undefined };
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => connection.onText(chunk));
    socket.on('close', () => {
      connection.onEnd();
      resolve(connection);
    });
    // The close that follows has the reason.
    socket.on('error', () => undefined);
    socket.on('connect', () => resolve(connection));
  });
}

function ask(
  connection: Connection,
  { method, path, body, headers = {} }: BurstRequest,
): Promise<{ readonly text: string; readonly isOpen: boolean }> {
  return new Promise((resolve) => {
    let text = '';
    connection.onEnd = () => resolve({ text, isOpen: false });
    if (connection.socket.destroyed) return connection.onEnd();
    connection.onText = (chunk) => {
      text += chunk;
      if (isWhole(text)) resolve({ text, isOpen: true });
    };
    const json = body === undefined ? '' : JSON.stringify(body);
    const more = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const head = `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${more.join('')}`;
    connection.socket.write(`${head}Content-Length: ${Buffer.byteLength(json)}\r\n\r\n${json}`);
  });
}

/** Bodies of these answers are ASCII, so that characters are bytes. */
function isWhole(text: string): boolean {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return false;
  const length = Number(/^content-length: (\d+)/im.exec(text.slice(0, headEnd))?.[1] ?? 0);
  return text.length >= headEnd + 4 + length;
}

function read(text: string): Pick<BurstAnswer, 'status' | 'code' | 'retryAfterSeconds'> {
  const retryAfter = /^retry-after: (\d+)/im.exec(text)?.[1];
  return {
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0),
    code: /"code":"([A-Z_]+)"/.exec(text)?.[1] ?? '',
    retryAfterSeconds: retryAfter === undefined ? null : Number(retryAfter),
  };
}

/** How often each outcome came, as `201` or `503 OVERLOADED`. */
export function countAnswers(answers: readonly BurstAnswer[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { status, code } of answers) {
    const outcome = `${status} ${code}`.trim();
    counts[outcome] = (counts[outcome] ?? 0) + 1;
  }
  return counts;
}
