// http: the server's life: listening, draining, closing. What it answers is the router's business.

import { type Config, LIMITS } from '../config.ts';
import type { Engine } from '../engine/engine-api.ts';
import { systemClock } from '../lib/clock.ts';
import { within } from '../lib/deadline.ts';
import type { ConnectionBudget } from '../lib/descriptors.ts';
import type { Logger } from '../lib/log.ts';
import { type Supervision, UNSUPERVISED } from '../lib/supervision.ts';
import { createAccess } from './access.ts';
import { AgentProxy } from './agent-proxy.ts';
import type { Caller } from './callers.ts';
import { Connections } from './connections.ts';
import { Certificate } from './guards.ts';
import type { RelayLimits } from './guest-relay.ts';
import type { GuestSocketLimits } from './guest-socket.ts';
import { GuestSockets, type GuestSocketsParts } from './guest-sockets.ts';
import type { HandlerContext, Handlers } from './handlers.ts';
import { KeyRing } from './key-ring.ts';
import { Listener } from './listener.ts';
import { type GuardedRoutes, guardRoutes, OriginGuard } from './origin-guard.ts';
import { Refusals } from './refusals.ts';
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
import { scopedEngine } from './scoped-engine.ts';
import { SocketPlaces } from './socket-viewer.ts';
import { EventStreams, STREAM_LIMITS, type StreamLimits } from './sse.ts';
import { makeApp } from './tls.ts';
import { Traffic } from './traffic.ts';
import type { TemplatedApp } from './uws.ts';
import { Waits } from './waits.ts';
import { type SocketLimits, type WebSocketParts, WebSockets } from './web-sockets.ts';

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
  /** How many connections may be open; LIMITS where nothing is said. */
  readonly budget?: ConnectionBudget;
  /** For tests. */
  readonly streamLimits?: Partial<StreamLimits>;
  readonly relayLimits?: RelayLimits;
  readonly socketLimits?: SocketLimits & { readonly socketsMax: number };
  readonly guestSocketLimits?: Partial<GuestSocketLimits>;
}

/** Where the limit of open files allows so many. */
export const MOST_CONNECTIONS: ConnectionBudget = {
  connections: LIMITS.connectionsMax,
  eventStreams: LIMITS.eventStreamsMax,
  webSockets: LIMITS.webSocketsMax,
};

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
  const { engine, config, log } = parts;
  const keys = await KeyRing.open(config, log);
  const certificate = await Certificate.open(config.tls, log);
  const refusals = new Refusals(log);
  const traffic = new Traffic();
  const { connectionsMax, streamLimits } = limitsOf(parts);
  const connections = new Connections(connectionsMax, log);
  const waits = new Waits();
  const streams = new EventStreams(engine.events, systemClock, streamLimits);
  const supervisor = parts.supervisor ?? (() => UNSUPERVISED);
  const guards = () => ({ keys: keys.facts, tls: certificate?.facts ?? null });
  const openapi = describer(parts);
  const contextFor = perCaller(
    (caller): HandlerContext => ({
      caller,
      engine: scopedEngine(engine, caller),
      config,
      streams,
      waits,
      log,
      guards,
      supervisor,
      openapi,
    }),
  );
  const engineFor = (caller: Caller) => contextFor(caller).engine;
  const access = createAccess(config, keys, refusals);
  const common = { engineFor, access, traffic, log };
  const guests = waysToGuests(parts, { ...common, connections });
  keys.onGone((caller) => {
    for (const part of [streams, waits, ...guests]) part.endOf(caller);
  });
  const guard = new OriginGuard(config);
  const bind = (app: TemplatedApp) => {
    connections.watch(app);
    const routes = guardRoutes(app, { guard, access, log });
    for (const way of guests) way.bind(routes);
    bindRoutes(routes, { handlers, contextFor, access, log, traffic });
  };
  const app = makeApp(config.tls);
  bind(app);
  const listener = new Listener(config.listen);
  await listener.open(app, certificate !== null);
  await certificate?.watch(listener, bind);
  return {
    port: listener.port,
    drain: async (timeoutMs) => {
      certificate?.close();
      listener.drain();
      traffic.accepting = false;
      streams.close();
      for (const part of [waits, ...guests]) part.drain();
      const idle = await within(
        traffic.idle().then(() => true),
        timeoutMs,
      );
      if (idle === undefined) log.warn({ requests: traffic.size }, 'abandoning requests');
      await keys.close();
    },
    close: () => {
      certificate?.close();
      streams.close();
      for (const way of guests) way.drain();
      refusals.close();
      listener.close();
      void keys.close();
    },
  };
}

/** What hands requests, messages and lines to and fro. */
interface WayToGuests {
  bind(app: GuardedRoutes): void;
  endOf(caller: Caller): void;
  /** Ends what would go on for ever, and lets the rest come to its end. */
  drain(): void;
}

function waysToGuests(
  parts: HttpServerParts,
  common: Omit<GuestSocketsParts, 'places'> & Pick<WebSocketParts, 'engineFor'>,
): readonly WayToGuests[] {
  const { socketsMax, socketLimits } = limitsOf(parts);
  const places = new SocketPlaces(socketsMax);
  const { events } = parts.engine;
  return [
    new GuestSockets({ ...common, places, limits: parts.guestSocketLimits }),
    new AgentProxy({ ...common, limits: parts.relayLimits }),
    new WebSockets({ ...common, events, places, limits: socketLimits }),
  ];
}

function limitsOf({ budget = MOST_CONNECTIONS, ...given }: HttpServerParts): {
  connectionsMax: number;
  streamLimits: StreamLimits;
  socketsMax: number;
  socketLimits: SocketLimits;
} {
  const { connections: connectionsMax, eventStreams: streamsMax, webSockets } = budget;
  const backlogBytesMax = LIMITS.webSocketBacklogBytesMax;
  return {
    connectionsMax,
    streamLimits: { ...STREAM_LIMITS, streamsMax, ...given.streamLimits },
    socketsMax: given.socketLimits?.socketsMax ?? webSockets,
    socketLimits: { backlogBytesMax, ...given.socketLimits },
  };
}

/** What is made for each caller once, and kept as long as the caller is. */
function perCaller<T>(make: (caller: Caller) => T): (caller: Caller) => T {
  const made = new WeakMap<Caller, T>();
  return (caller) => {
    const known = made.get(caller) ?? make(caller);
    made.set(caller, known);
    return known;
  };
}

/** The OpenAPI document as it is found under a host. */
function describer({ config, openapi }: HttpServerParts): (host: string) => string {
  const scheme = config.tls === null ? 'http' : 'https';
  return (host) => {
    const address = host || `${config.advertise.host}:${config.advertise.port}`;
    return JSON.stringify({ ...openapi, servers: [{ url: `${scheme}://${address}` }] });
  };
}
