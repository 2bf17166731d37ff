// client: where the daemon listens, and how a request gets there. TCP goes through the global fetch;
// what fetch cannot do, a unix socket and an authority of one's own, through node:http and node:https
// behind the same signature.

import type { RequestOptions } from 'node:http';

export interface FetchInit {
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly signal: AbortSignal;
  /** A redirect is an answer like others. */
  readonly redirect?: 'manual';
}

/** The part of the global fetch that the client uses; tests and proxies may bring their own. */
export type Fetch = (url: string, init: FetchInit) => Promise<Response>;

export interface Endpoint {
  /** As it was given, for messages. */
  readonly baseUrl: string;
  readonly fetch: Fetch;
  /** What stands before the path of a request. */
  readonly httpOrigin: string;
  /** PEM certificates that an HTTPS server may be signed by; undefined: those that Node knows. */
  readonly ca: string | undefined;
  /** The URL of a WebSocket. For a unix socket it is in the form that the package ws understands. */
  webSocketUrl(path: string): string;
}

/** `http://host:port`, `https://...`, with a path before the API's if there is one, or `unix:/path`. */
export function resolveEndpoint(baseUrl: string, fetchGiven?: Fetch, ca?: string): Endpoint {
  if (baseUrl.startsWith('unix:')) {
    const socketPath = baseUrl.slice('unix:'.length);
    return {
      baseUrl,
      fetch: fetchGiven ?? fetchBy('node:http', { socketPath }),
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
    // Not the function itself: a browser's wants to be called as it is, not as a method.
    fetch: fetchGiven ?? (ownAuthority ? fetchBy('node:https', { ca }) : fetchAtAnyPort),
    ca: ownAuthority ? ca : undefined,
    httpOrigin,
    webSocketUrl: (path) => httpOrigin.replace(/^http/, 'ws') + path,
  };
}

/**
 * The global fetch, and node:http at ports that it refuses because other protocols have them (10080, 6000 and some more):
 * a daemon may listen there all the same. A browser's refusal stays what it is.
 */
export const fetchAtAnyPort: Fetch = async (url, init) => {
  try {
    return await fetch(url, init);
  } catch (error) {
    const { cause } = error as { cause?: { message?: string } };
    if (cause?.message !== 'bad port') throw error;
    return await fetchBy(url.startsWith('https:') ? 'node:https' : 'node:http', {})(url, init);
  }
};

const STATUSES_WITHOUT_BODY = [204, 205, 304];

/** Loads Node's modules only when it is called: a browser has none of them, and needs none. */
function fetchBy(
  protocol: 'node:http' | 'node:https',
  where: RequestOptions & { readonly ca?: string },
): Fetch {
  return async (url, { method, headers, body, signal }) => {
    const [{ request }, { Readable }] = await Promise.all([
      protocol === 'node:https' ? import('node:https') : import('node:http'),
      import('node:stream'),
    ]);
    return new Promise((resolve, reject) => {
      const sent = request(url, { ...where, method, headers, signal });
      sent.once('error', reject);
      sent.once('response', (incoming) => {
        const status = incoming.statusCode ?? 0;
        const answerHeaders = new Headers();
        for (const [name, values] of Object.entries(incoming.headersDistinct)) {
          for (const value of values ?? []) answerHeaders.append(name, value);
        }
        const withoutBody = STATUSES_WITHOUT_BODY.includes(status);
        if (withoutBody) incoming.resume();
        // node:stream and the global Response name the same stream by two types.
        const stream = withoutBody
          ? null
          : (Readable.toWeb(incoming) as ReadableStream<Uint8Array>);
        resolve(new Response(stream, { status, headers: answerHeaders }));
      });
      sent.end(body);
    });
  };
}
