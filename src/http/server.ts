// http: the server's life: listening, draining, closing. What it answers is the router's business.

import { chmodSync, rmSync } from 'node:fs';
import type { Config } from '../config.ts';
import type { Engine } from '../engine/engine-api.ts';
import { systemClock } from '../lib/clock.ts';
import { within } from '../lib/deadline.ts';
import type { Logger } from '../lib/log.ts';
import { type Supervision, UNSUPERVISED } from '../lib/supervision.ts';
import { createAccess } from './access.ts';
import { AgentProxy } from './agent-proxy.ts';
import type { RelayLimits } from './guest-relay.ts';
import type { Handlers } from './handlers.ts';
import { guardRoutes, OriginGuard } from './origin-guard.ts';
import { bindRoutes } from './router.ts';
import { artifactRoutes } from './routes/artifacts.ts';
import { configRoutes } from './routes/configs.ts';
import { deploymentRoutes } from './routes/deployments.ts';
import { eventRoutes } from './routes/events.ts';
import { guestRoutes } from './routes/guests.ts';
import { mcpRoutes } from './routes/mcp.ts';
import { pluginRoutes } from './routes/plugins.ts';
import { systemRoutes } from './routes/system.ts';
import { vfioRoutes } from './routes/vfio.ts';
import { vmRoutes } from './routes/vms.ts';
import { EventStreams, type StreamLimits } from './sse.ts';
import { Traffic } from './traffic.ts';
import {
  App,
  LISTEN_EXCLUSIVE,
  type TemplatedApp,
  type us_listen_socket,
  us_listen_socket_close,
  us_socket_local_port,
} from './uws.ts';
import { type SocketLimits, WebSockets } from './web-sockets.ts';

export interface HttpServer {
  /** null on a unix socket. */
  readonly port: number | null;
  /** Takes no new requests, ends streams, and waits for what is under way, at most so long. */
  drain(timeoutMs: number): Promise<void>;
  /** Closes every connection. */
  close(): void;
}

export interface HttpServerParts {
  readonly engine: Engine;
  readonly config: Config;
  readonly log: Logger;
  /** The OpenAPI document; its servers entry is filled in for each reader. */
  readonly openapi: object;
  /** Who starts the daemon again; nobody unless told. */
  readonly supervisor?: () => Supervision;
  /** For tests. */
  readonly streamLimits?: StreamLimits;
  readonly relayLimits?: RelayLimits;
  readonly socketLimits?: SocketLimits;
}

const handlers: Handlers = {
  ...vfioRoutes,
  ...vmRoutes,
  ...guestRoutes,
  ...configRoutes,
  ...deploymentRoutes,
  ...pluginRoutes,
  ...artifactRoutes,
  ...systemRoutes,
  ...eventRoutes,
  ...mcpRoutes,
};

/** Resolves when it listens. Rejects with a sentence for a person when the address is taken. */
export async function startHttpServer(parts: HttpServerParts): Promise<HttpServer> {
  const { engine, config, log, openapi } = parts;
  const app = App();
  const traffic = new Traffic();
  const streams = new EventStreams(engine.events, systemClock, parts.streamLimits);
  const describe = (host: string) => {
    const address = host || `${config.advertise.host}:${config.advertise.port}`;
    return JSON.stringify({ ...openapi, servers: [{ url: `http://${address}` }] });
  };
  const supervisor = parts.supervisor ?? (() => UNSUPERVISED);
  const context = { engine, config, streams, log, openapi: describe, supervisor };
  const access = createAccess(config);
  const proxy = new AgentProxy({ engine, access, traffic, log, limits: parts.relayLimits });
  const sockets = new WebSockets({ engine, access, traffic, log, limits: parts.socketLimits });
  const routes = guardRoutes(app, { guard: new OriginGuard(config), access, log });
  proxy.bind(routes);
  sockets.bind(routes);
  bindRoutes(routes, { handlers, context, access, log, traffic });
  const socket = await listen(app, config.listen);
  return {
    port: config.listen.kind === 'tcp' ? us_socket_local_port(socket) : null,
    drain: async (timeoutMs) => {
      us_listen_socket_close(socket);
      traffic.accepting = false;
      streams.close();
      proxy.drain();
      sockets.close();
      const idle = await within(
        traffic.idle().then(() => true),
        timeoutMs,
      );
      if (idle === undefined) log.warn({ requests: traffic.size }, 'abandoning requests');
    },
    close: () => {
      streams.close();
      sockets.close();
      app.close();
      if (config.listen.kind === 'unix') rmSync(config.listen.path, { force: true });
    },
  };
}

function listen(app: TemplatedApp, address: Config['listen']): Promise<us_listen_socket> {
  return new Promise((resolve, reject) => {
    const taken = (where: string) =>
      new Error(`${where} cannot be listened on: another program has it, or it is not ours`);
    if (address.kind === 'tcp') {
      const { host, port } = address;
      app.listen(host, port, LISTEN_EXCLUSIVE, (socket) => {
        if (socket) resolve(socket);
        else reject(taken(`${host}:${port} (VOLANT_API_LISTEN)`));
      });
      return;
    }
    // Left behind by a daemon that was killed; one that lives holds the lock of its home.
    rmSync(address.path, { force: true });
    app.listen_unix((socket) => {
      if (!socket) return reject(taken(address.path));
      // For root and its group: an operator may hand the socket to a group by its directory.
      chmodSync(address.path, 0o660);
      resolve(socket);
    }, address.path);
  });
}
