// http: the life cycle of the server: listen, drain, close. router.ts decides what it answers.

import { LIMITS } from '../config/limits.ts';
import type { Config } from '../config.ts';
import type { Engine } from '../engine/engine-api.ts';
import { systemClock } from '../lib/clock.ts';
import { within } from '../lib/deadline.ts';
import type { ConnectionBudget } from '../lib/descriptors.ts';
import type { Logger } from '../lib/log/log.ts';
import { type Supervision, UNSUPERVISED } from '../lib/supervision.ts';
import { AcceptGate, type ListenControl } from './accept-gate.ts';
import { createAccess } from './access/access.ts';
import type { Caller } from './access/callers.ts';
import { Certificate } from './access/guards.ts';
import { KeyRing } from './access/key-ring.ts';
import { type GuardedRoutes, guardRoutes, OriginGuard } from './access/origin-guard.ts';
import { Refusals } from './access/refusals.ts';
import { scopedEngine } from './access/scoped-engine.ts';
import { makeApp } from './access/tls.ts';
import { NO_OPERATION, RequestMeter } from './exchange/request-meter.ts';
import { AgentProxy, type AgentProxyParts } from './guests/agent-proxy.ts';
import { ExecSockets } from './guests/execs/exec-sockets.ts';
import { ExecStreams } from './guests/execs/exec-streams.ts';
import { FileProxy } from './guests/files/file-proxy.ts';
import { FileWatches, type FileWatchLimits } from './guests/files/file-watches.ts';
import type { RelayLimits } from './guests/guest-relay.ts';
import type { GuestSocketLimits } from './guests/guest-socket.ts';
import { GuestSockets, type GuestSocketsParts } from './guests/guest-sockets.ts';
import type { HandlerContext, Handlers } from './handlers.ts';
import { HttpMetrics } from './http-metrics.ts';
import { Listener } from './listener.ts';
import { Connections } from './open-connections.ts';
import { bindRoutes } from './router.ts';
import { artifactRoutes } from './routes/artifacts.ts';
import { configRoutes } from './routes/configs.ts';
import { deploymentRoutes } from './routes/deployments.ts';
import { eventRoutes } from './routes/events.ts';
import { execRoutes } from './routes/execs.ts';
import { fileRoutes } from './routes/files.ts';
import { guestRoutes } from './routes/guests.ts';
import { imageRoutes } from './routes/images.ts';
import { mcpRoutes } from './routes/mcp.ts';
import { pluginRoutes } from './routes/plugins.ts';
import { statsRoutes } from './routes/stats.ts';
import { systemRoutes } from './routes/system.ts';
import { vfioRoutes } from './routes/vfio.ts';
import { vmRoutes } from './routes/vms.ts';
import { SocketSlots } from './streams/socket-viewer.ts';
import { EventStreams, STREAM_LIMITS, type StreamLimits } from './streams/sse.ts';
import { Waits } from './streams/waits.ts';
import { type SocketLimits, WebSockets } from './streams/web-sockets.ts';
import { Traffic } from './traffic.ts';
import { readUiFiles } from './ui/ui-files.ts';
import { bindUi } from './ui/ui-routes.ts';
import type { TemplatedApp } from './uws.ts';

export interface HttpServer {
  /** null on a unix socket. */
  readonly port: number | null;
  /** Accepts no new requests, ends streams, and waits up to `timeoutMs` for requests that are under way. */
  drain(timeoutMs: number): Promise<void>;
  /** Closes every connection. */
  close(): void;
}

export interface HttpServerParts {
  readonly engine: Engine;
  readonly config: Config;
  readonly log: Logger;
  /** The OpenAPI document. Its `servers` member is set for each reader. */
  readonly openapi: object;
  /** The folder with the built dashboard; there is no dashboard if absent. */
  readonly uiDirectory?: string;
  /** The supervisor that restarts the daemon; none if absent. */
  readonly supervisor?: () => Supervision;
  /** How many connections may be open; the values of LIMITS if absent. */
  readonly budget?: ConnectionBudget;
  /** Bounds how many connections are accepted in one turn of the event loop; no bound if absent. */
  readonly listenControl?: ListenControl;
  /** For tests. */
  readonly streamLimits?: Partial<StreamLimits>;
  readonly relayLimits?: RelayLimits;
  readonly fileWatchLimits?: Partial<FileWatchLimits>;
  readonly socketLimits?: SocketLimits & { readonly socketsMax: number };
  readonly guestSocketLimits?: Partial<GuestSocketLimits>;
}

/** The budget if the limit of open files is high enough. */
export const CONNECTION_LIMITS: ConnectionBudget = {
  connections: LIMITS.connectionsMax,
  eventStreams: LIMITS.eventStreamsMax,
  webSockets: LIMITS.webSocketsMax,
};

const handlers: Handlers = {
  ...vfioRoutes,
  ...vmRoutes,
  ...guestRoutes,
  ...execRoutes,
  ...fileRoutes,
  ...configRoutes,
  ...deploymentRoutes,
  ...pluginRoutes,
  ...artifactRoutes,
  ...imageRoutes,
  ...systemRoutes,
  ...statsRoutes,
  ...eventRoutes,
  ...mcpRoutes,
};

/** Resolves when the server listens. Rejects with a sentence for the operator if the address is in use. */
export async function startHttpServer(parts: HttpServerParts): Promise<HttpServer> {
  const { engine, config, log } = parts;
  const keys = await KeyRing.open(config, log);
  const certificate = await Certificate.open(config.tls, log);
  const files = parts.uiDirectory === undefined ? null : await readUiFiles(parts.uiDirectory);
  const refusals = new Refusals(log);
  const traffic = new Traffic();
  const meter = new RequestMeter();
  const { connectionsMax, streamLimits } = limitsOf(parts);
  const gate = new AcceptGate(parts.listenControl ?? null);
  const connections = new Connections(connectionsMax, log, gate.accepted);
  const waits = new Waits();
  const execStreams = new ExecStreams();
  const fileWatches = new FileWatches(parts.fileWatchLimits);
  const streams = new EventStreams(engine.events, systemClock, streamLimits);
  const supervisor = parts.supervisor ?? (() => UNSUPERVISED);
  const guards = () => ({ keys: keys.facts, tls: certificate?.facts ?? null });
  const openapi = describer(parts);
  const slots = new SocketSlots(limitsOf(parts).socketsMax);
  const metrics = new HttpMetrics({ meter, traffic, streams, slots, connections });
  const contextFor = perCaller(
    (caller): HandlerContext => ({
      caller,
      engine: scopedEngine(engine, caller),
      config,
      streams,
      waits,
      execStreams,
      fileWatches,
      log,
      guards,
      supervisor,
      openapi,
      metrics,
    }),
  );
  const engineFor = (caller: Caller) => contextFor(caller).engine;
  const access = createAccess(config, keys, refusals);
  const common = { engineFor, access, traffic, meter, slots, log };
  const guests = guestProxies(parts, { ...common, connections });
  keys.onGone((caller) => {
    for (const part of [streams, waits, execStreams, fileWatches, ...guests]) part.endOf(caller);
  });
  const guard = new OriginGuard(config);
  const bind = (app: TemplatedApp) => {
    connections.watch(app);
    const routes = guardRoutes(app, { guard, access, log, refused: meter.of(NO_OPERATION) });
    for (const way of guests) way.bind(routes);
    bindUi(routes, { files, access, traffic, log });
    bindRoutes(routes, { handlers, contextFor, access, log, traffic, meter });
  };
  const app = makeApp(config.tls);
  bind(app);
  const listener = new Listener(config.listen, gate);
  await listener.open(app, certificate !== null);
  await certificate?.watch(listener, bind);
  return {
    port: listener.port,
    drain: async (timeoutMs) => {
      certificate?.close();
      listener.drain();
      traffic.accepting = false;
      streams.close();
      for (const part of [waits, execStreams, fileWatches, ...guests]) part.drain();
      await untilIdle(traffic, timeoutMs, log);
      await keys.close();
    },
    close: () => {
      certificate?.close();
      streams.close();
      for (const part of [execStreams, fileWatches, ...guests]) part.drain();
      refusals.close();
      listener.close();
      void keys.close();
    },
  };
}

async function untilIdle(traffic: Traffic, timeoutMs: number, log: Logger): Promise<void> {
  const idle = traffic.idle().then(() => true);
  if ((await within(idle, timeoutMs)) !== undefined) return;
  log.warn({ requests: traffic.size }, 'abandoning requests');
}

/** A proxy of requests, messages or log lines between clients and guests. */
interface GuestProxy {
  bind(app: GuardedRoutes): void;
  endOf(caller: Caller): void;
  /** Ends endless streams, and lets other answers run to their end. */
  drain(): void;
}

function guestProxies(
  parts: HttpServerParts,
  common: GuestSocketsParts & AgentProxyParts & { readonly engineFor: (caller: Caller) => Engine },
): readonly GuestProxy[] {
  const { socketLimits } = limitsOf(parts);
  const { events } = parts.engine;
  return [
    new GuestSockets({ ...common, limits: parts.guestSocketLimits }),
    new ExecSockets(common),
    new AgentProxy({ ...common, limits: parts.relayLimits }),
    new FileProxy({ ...common, limits: parts.relayLimits }),
    new WebSockets({ ...common, events, limits: socketLimits }),
  ];
}

function limitsOf({ budget = CONNECTION_LIMITS, ...given }: HttpServerParts): {
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

/** Creates a value once for each caller, and keeps it as long as the caller object exists. */
function perCaller<T extends object>(make: (caller: Caller) => T): (caller: Caller) => T {
  const made = new WeakMap<Caller, T>();
  return (caller) => {
    const known = made.get(caller);
    if (known !== undefined) return known;
    const value = make(caller);
    made.set(caller, value);
    return value;
  };
}

/** The OpenAPI document with a given host as its server. */
function describer({ config, openapi }: HttpServerParts): (host: string) => string {
  const scheme = config.tls === null ? 'http' : 'https';
  return (host) => {
    const address = host || `${config.advertise.host}:${config.advertise.port}`;
    return JSON.stringify({ ...openapi, servers: [{ url: `${scheme}://${address}` }] });
  };
}
