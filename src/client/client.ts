// client: the way in for programs that use the API. Each group of operations is a file of its own.

import { Agent } from './agent.ts';
import { Configs } from './configs.ts';
import { Deployments } from './deployments.ts';
import { Events } from './events.ts';
import { Http } from './http.ts';
import { Plugins } from './plugins.ts';
import { DEFAULT_RETRY, type RetryPolicy } from './retry.ts';
import { Sockets, type WebSocketConstructor } from './sockets.ts';
import { System } from './system.ts';
import { type Fetch, resolveEndpoint } from './transport.ts';
import { Vfio } from './vfio.ts';
import { Vms } from './vms.ts';

export const DEFAULT_BASE_URL = 'http://127.0.0.1:7777';

/** A restart of a guest that does not want to stop takes about a minute; no call takes longer. */
const CALL_TIMEOUT_MS = 90_000;

export interface ClientOptions {
  /** `http://host:port`, `https://host:port` or `unix:/path`; http://127.0.0.1:7777 unless told. */
  readonly baseUrl?: string;
  readonly apiKey?: string;
  /** PEM certificates of the authorities that an HTTPS server may be signed by; Node's unless told. */
  readonly ca?: string;
  /** The bound of a call that has none of its own; 90 s unless told. */
  readonly timeoutMs?: number;
  readonly retry?: Partial<RetryPolicy>;
  /** Refuse members that the daemon does not know, instead of ignoring them with a warning; false unless told. */
  readonly strict?: boolean;
  readonly fetch?: Fetch;
  /** Needed for logs and consoles where Node has no WebSocket: the class of the package ws. */
  readonly WebSocket?: WebSocketConstructor;
}

export interface VolantClient {
  readonly vms: Vms;
  readonly configs: Configs;
  readonly deployments: Deployments;
  readonly plugins: Plugins;
  readonly events: Events;
  readonly agent: Agent;
  readonly sockets: Sockets;
  readonly vfio: Vfio;
  readonly system: System;
}

/** A client costs nothing until it is used, and there is nothing to close. */
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
    events: new Events(http),
    agent: new Agent(http),
    sockets: new Sockets(http, options.WebSocket),
    vfio: new Vfio(http),
    system: new System(http),
  };
}
