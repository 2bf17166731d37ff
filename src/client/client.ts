// client: the entry point for programs that use the API. Each group of operations has a file of its own.

import { Agent } from './agent.ts';
import { DEFAULT_BASE_URL } from './base-url.ts';
import { Configs } from './configs.ts';
import { Deployments } from './deployments.ts';
import { Events } from './events.ts';
import { Execs } from './execs.ts';
import type { Fetch } from './fetch.ts';
import { Files } from './files.ts';
import { Http } from './http.ts';
import { Images } from './images.ts';
import { Plugins } from './plugins.ts';
import { DEFAULT_RETRY, type RetryPolicy } from './retry.ts';
import { Sockets, type WebSocketConstructor } from './sockets.ts';
import { System } from './system.ts';
import { resolveEndpoint } from './transport.ts';
import { Vfio } from './vfio.ts';
import { Vms } from './vms.ts';

export { DEFAULT_BASE_URL };

/** A restart of a guest that does not power off takes about a minute; no other call takes longer. */
const CALL_TIMEOUT_MS = 90_000;

export interface ClientOptions {
  /** `http://host:port`, `https://host:port` or `unix:/path`; http://127.0.0.1:7777 by default. */
  readonly baseUrl?: string;
  readonly apiKey?: string;
  /** PEM certificates of the authorities that may have signed an HTTPS server's certificate; those of Node by default. */
  readonly ca?: string;
  /** Timeout of a call without one of its own; 90 s by default. */
  readonly timeoutMs?: number;
  readonly retry?: Partial<RetryPolicy>;
  /** true: the daemon refuses unknown members instead of ignoring them with a warning; false by default. */
  readonly strict?: boolean;
  readonly fetch?: Fetch;
  /** The class of the package ws; needed for logs and consoles if Node has no WebSocket. */
  readonly WebSocket?: WebSocketConstructor;
}

export interface VolantClient {
  readonly vms: Vms;
  readonly configs: Configs;
  readonly deployments: Deployments;
  readonly plugins: Plugins;
  readonly images: Images;
  readonly events: Events;
  readonly agent: Agent;
  readonly execs: Execs;
  readonly files: Files;
  readonly sockets: Sockets;
  readonly vfio: Vfio;
  readonly system: System;
}

/** Creates a client. It opens no connection before its first call, and need not be closed. */
export function createClient(options: ClientOptions = {}): VolantClient {
  const http = new Http({
    endpoint: resolveEndpoint(options.baseUrl ?? DEFAULT_BASE_URL, options.fetch, options.ca),
    apiKey: options.apiKey,
    timeoutMs: options.timeoutMs ?? CALL_TIMEOUT_MS,
    retry: { ...DEFAULT_RETRY, ...options.retry },
    strict: options.strict ?? false,
  });
  return {
    vms: new Vms(http),
    configs: new Configs(http),
    deployments: new Deployments(http),
    plugins: new Plugins(http),
    images: new Images(http),
    events: new Events(http),
    agent: new Agent(http),
    execs: new Execs(http),
    files: new Files(http),
    sockets: new Sockets(http, options.WebSocket),
    vfio: new Vfio(http),
    system: new System(http),
  };
}
