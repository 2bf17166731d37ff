// client: the address of the daemon, and how requests get there: by the global fetch in a browser, and by node:http and
// node:https behind the same signature everywhere else.

import type { Fetch } from './fetch.ts';
import { nodeFetch } from './node-http.ts';

/** Bundlers for browsers may define a process, but no version of Node. */
export const IS_BROWSER =
  (globalThis as { process?: { versions?: { node?: string } } }).process?.versions?.node ===
  undefined;

export interface Endpoint {
  /** As the caller gave it, for messages. */
  readonly baseUrl: string;
  readonly fetch: Fetch;
  /** Prefix of the path of a request. */
  readonly httpOrigin: string;
  /** PEM certificates of accepted authorities for HTTPS; undefined: those of Node. */
  readonly ca: string | undefined;
  /** The URL of a WebSocket. For a unix socket it has the form of the package ws. */
  webSocketUrl(path: string): string;
}

/** Accepts `http://host:port`, `https://...`, with a path prefix if there is one, or `unix:/path`. */
export function resolveEndpoint(baseUrl: string, fetchGiven?: Fetch, ca?: string): Endpoint {
  if (baseUrl.startsWith('unix:')) {
    const socketPath = baseUrl.slice('unix:'.length);
    return {
      baseUrl,
      fetch: fetchGiven ?? nodeFetch({ socketPath }),
      ca: undefined,
      httpOrigin: 'http://localhost',
      webSocketUrl: (path) => `ws+unix:${socketPath}:${path}`,
    };
  }
  const { protocol } = new URL(baseUrl);
  if (protocol !== 'http:' && protocol !== 'https:') {
    throw new TypeError(`${baseUrl} begins with neither http:, https: nor unix:`);
  }
  const httpOrigin = baseUrl.replace(/\/+$/, '');
  const ownAuthority = protocol === 'https:' && ca !== undefined;
  return {
    baseUrl,
    fetch: fetchGiven ?? (IS_BROWSER ? browserFetch : nodeFetch(ownAuthority ? { ca } : {})),
    ca: ownAuthority ? ca : undefined,
    httpOrigin,
    webSocketUrl: (path) => httpOrigin.replace(/^http/, 'ws') + path,
  };
}

/** Called through an arrow function: fetch of a browser fails if it is called as a method. */
const browserFetch: Fetch = (url, init) => fetch(url, init);
