// test helpers: an agent of the host with a workload, and the ways to ask it.

import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { AgentChannel } from '../../src/hypervisor/agent-channel.ts';
import { type AgentAnswer, ask } from '../../src/hypervisor/agent-client.ts';
import type { Logger } from '../../src/lib/log/log.ts';
import { type HostAgent, startHostAgent } from './programs.ts';

export const soon = () => AbortSignal.timeout(20_000);

const quiet = () => undefined;
export const NO_LOG: Logger = {
  debug: quiet,
  info: quiet,
  warn: quiet,
  error: quiet,
  child: () => NO_LOG,
};

export interface WorkloadStatus {
  readonly state: string;
  readonly pid: number;
  readonly restarts: number;
  readonly healthy: boolean | null;
  readonly last_exit: string;
  readonly reason: string;
  readonly check: string;
  readonly check_failure: string;
  readonly exit_code?: number;
  readonly exit_signal?: number;
  readonly last_lines?: readonly string[];
}

export interface ServedAgent extends HostAgent {
  readonly channel: AgentChannel;
  /** Over the channel. */
  ask(method: string, path: string, body?: string): Promise<AgentAnswer>;
  workload(): Promise<WorkloadStatus>;
  /** Asks until the workload is as wanted. */
  until(wanted: (status: WorkloadStatus) => boolean): Promise<WorkloadStatus>;
}

export async function serveAgent(t: TestContext, program: string): Promise<ServedAgent> {
  const agent = await startHostAgent(t, program);
  const channel = new AgentChannel(agent.socketPath, NO_LOG);
  t.after(() => channel.close());
  await channel.ready(soon());
  const askAgent = (method: string, path: string, body?: string) =>
    ask(channel, { method, path, ...(body === undefined ? {} : { body }) }, soon());
  const workload = async () => JSON.parse((await askAgent('GET', '/healthz')).body).workload;
  const until = async (wanted: (status: WorkloadStatus) => boolean) => {
    const signal = soon();
    for (;;) {
      const status = await workload();
      if (wanted(status)) return status;
      if (signal.aborted) throw new Error(`the workload is ${JSON.stringify(status)}`);
      await pause(20);
    }
  };
  return { ...agent, channel, ask: askAgent, workload, until };
}

/** A manifest whose program waits for its end; what it serves is served by the test. */
export function manifestFor(server: Server | null, more: object = {}): string {
  const port = server === null ? 9 : (server.address() as AddressInfo).port;
  return JSON.stringify({
    workload: {
      type: 'http',
      base_url: `http://127.0.0.1:${port}/base/`,
      entrypoint: ['/bin/sleep', '1000'],
      ...more,
    },
  });
}

export async function listening(t: TestContext, server: Server): Promise<Server> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return server;
}

export const httpServer = createServer;

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** A request over TCP; `body` is sent in its pieces, chunked. */
export function get(
  port: number,
  path: string,
  { method = 'GET', headers = {}, body = [] as readonly (string | Buffer)[] } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ port, method, path, headers, agent: false }, async (incoming) => {
      const chunks: Buffer[] = [];
      for await (const chunk of incoming) chunks.push(chunk);
      const { statusCode: status = 0, headers: received } = incoming;
      resolve({ status, headers: received, body: Buffer.concat(chunks) });
    });
    outgoing.on('error', reject);
    for (const piece of body) outgoing.write(piece);
    outgoing.end();
  });
}

export async function rawSocket(t: TestContext, port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', quiet);
  t.after(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** Everything that comes until the connection ends. */
export async function exchange(
  t: TestContext,
  port: number,
  text: string | Buffer,
): Promise<string> {
  const socket = await rawSocket(t, port);
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
  });
  socket.write(text);
  await once(socket, 'close');
  return received;
}
