// test helpers: the HTTP server on an engine whose world is pretended: guests have an agent that is an
// HTTP server in this process, and a serial port that is one end of a pair of streams.

import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import { type Duplex, duplexPair } from 'node:stream';
import type { TestContext } from 'node:test';
import { loadConfig } from '../../src/config.ts';
import type { Engine } from '../../src/engine/engine-api.ts';
import { native } from '../../src/host/jobs/native.ts';
import { type HttpServer, type HttpServerParts, startHttpServer } from '../../src/http/server.ts';
import { buildOpenApi } from '../../src/schema/openapi/openapi.ts';
import { engineOn, newWorld, silentLog, type World } from '../engine/fakes.ts';

export interface Served {
  readonly port: number;
  readonly url: string;
  readonly world: World;
  readonly engine: Engine;
  readonly server: HttpServer;
  /** Streams to agents that are open now. */
  readonly agentStreams: Set<Duplex>;
  call(method: string, path: string, body?: unknown): Promise<Response>;
}

export interface ServeOptions {
  readonly settings?: Record<string, string>;
  /** What every agent answers. */
  readonly agent?: RequestListener;
  /** What becomes of a wish to switch to another protocol; without it that is an ordinary request. */
  readonly upgrade?: (request: IncomingMessage, stream: Duplex, first: Buffer) => void;
  readonly limits?: Pick<
    HttpServerParts,
    'relayLimits' | 'socketLimits' | 'guestSocketLimits' | 'fileWatchLimits' | 'budget'
  >;
}

/** Serves until the test is over, with a running VM named `one`. */
export async function serve(t: TestContext, options: ServeOptions = {}): Promise<Served> {
  const world = newWorld();
  const agentStreams = new Set<Duplex>();
  const { agent } = options;
  if (agent !== undefined) {
    const http = createServer({ keepAlive: false }, agent);
    if (options.upgrade !== undefined) http.on('upgrade', options.upgrade);
    world.hypervisor.openAgent = () => {
      const [ours, theirs] = duplexPair();
      agentStreams.add(ours);
      ours.once('close', () => {
        agentStreams.delete(ours);
        theirs.destroy();
      });
      // As on a channel: what ends without having said everything is a reset.
      theirs.once('close', () => {
        if (!theirs.writableFinished) ours.destroy(new Error('the agent reset the stream'));
      });
      theirs.on('error', () => undefined);
      http.emit('connection', theirs);
      return ours;
    };
    t.after(() => http.close());
  }
  const control = await engineOn(world);
  const config = loadConfig({
    VOLANT_HOME: '/var/lib/volant-test',
    VOLANT_API_LISTEN: '127.0.0.1:0',
    ...options.settings,
  });
  const server = await startHttpServer({
    engine: control.engine,
    config,
    log: silentLog,
    openapi: buildOpenApi({ version: 'test' }),
    listenControl: native,
    ...options.limits,
  });
  t.after(async () => {
    await control.shutdown();
    server.close();
  });
  await control.engine.vms.create({ name: 'one', plugin: 'hello' });
  const url = `http://127.0.0.1:${server.port}`;
  return {
    port: server.port ?? 0,
    url,
    world,
    engine: control.engine,
    server,
    agentStreams,
    call: (method, path, body) =>
      fetch(url + path, {
        method,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
  };
}

/** Waits for what is true in the end; the test's own bound ends a wait for what never is. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
