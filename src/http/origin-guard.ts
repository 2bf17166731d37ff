// http: the stage before every route: a browser obeys any page that it has open, so a request that a page
// of another origin may have caused is refused here, before anything else looks at it. Programs that send
// none of a browser's headers pass. Keys and client addresses are access.ts's business.

import { isIP } from 'node:net';
import type { Config } from '../config.ts';
import { hasDotSegment } from '../lib/dot-segments.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { type Access, extraHeadersFor } from './access.ts';
import { errorReply, writeReply } from './reply.ts';
import { RequestIds } from './request-id.ts';
import type {
  HttpRequest,
  HttpResponse,
  TemplatedApp,
  us_socket_context_t,
  WebSocketBehavior,
} from './uws.ts';

type GuardSettings = Pick<Config, 'apiHosts' | 'listen' | 'advertise' | 'corsOrigins'>;

export interface RouteOptions {
  /** The body is for a guest, which takes any type. */
  readonly bodyOfAnyType?: boolean;
}

type Handle = (response: HttpResponse, request: HttpRequest, requestId: string) => void;
type AddRoute = (pattern: string, handle: Handle, options?: RouteOptions) => void;

/** The part of the server at which routes are registered. What is registered here is behind the guard. */
export interface GuardedRoutes {
  readonly get: AddRoute;
  readonly post: AddRoute;
  readonly put: AddRoute;
  readonly patch: AddRoute;
  readonly del: AddRoute;
  readonly any: AddRoute;
  ws<Data>(pattern: string, behaviour: GuardedWebSocket<Data>): void;
}

/** Its upgrade is behind the guard, too. */
export interface GuardedWebSocket<Data> extends Omit<WebSocketBehavior<Data>, 'upgrade'> {
  readonly upgrade: (
    response: HttpResponse,
    request: HttpRequest,
    context: us_socket_context_t,
    requestId: string,
  ) => void;
}

export class OriginGuard {
  readonly #names: ReadonlySet<string>;
  readonly #origins: ReadonlySet<string>;
  /** A name can lead anybody to a TCP port, nobody but a local program to a unix socket. */
  readonly #checksHost: boolean;
  /** The last Host that was found right: nearly all requests have the same. */
  #hostBefore = '';

  constructor({ apiHosts, listen, advertise, corsOrigins }: GuardSettings) {
    const own = listen.kind === 'tcp' ? [listen.host, advertise.host] : [advertise.host];
    this.#names = new Set(['localhost', ...apiHosts, ...own.map(nameIn)]);
    this.#origins = new Set(corsOrigins);
    this.#checksHost = listen.kind === 'tcp';
  }

  /** Throws HOST_FORBIDDEN, ORIGIN_FORBIDDEN or CONTENT_TYPE_UNSUPPORTED. */
  check(request: HttpRequest, { bodyOfAnyType = false }: RouteOptions = {}): void {
    const host = request.getHeader('host');
    if (this.#checksHost && host !== this.#hostBefore) {
      this.#checkHost(host);
      this.#hostBefore = host;
    }
    const origin = request.getHeader('origin');
    const site = request.getHeader('sec-fetch-site');
    if (origin === '' && site === '') return;
    this.#checkOrigin(origin, site, host);
    if (origin !== '' && !bodyOfAnyType) checkType(request);
  }

  /** true where a request with this Host, `name` or `name:port`, may be meant for this daemon. */
  isOurName(host: string): boolean {
    const name = nameIn(host);
    return this.#names.has(name) || isAddress(name);
  }

  #checkHost(host: string): void {
    if (this.isOurName(host)) return;
    const why = `The request is for ${JSON.stringify(host.slice(0, 100))}, which is neither an address, localhost nor one of VOLANT_API_HOSTS`;
    throw new VolantError('HOST_FORBIDDEN', why);
  }

  #checkOrigin(origin: string, site: string, host: string): void {
    if (this.#isNamed(origin)) return;
    // Other ports and names of one site have their own owners, so the same site is not enough.
    const isOwnSite = site === '' || site === 'same-origin' || site === 'none';
    if (isOwnSite && (origin === '' || (isAt(origin, host) && this.isOurName(host)))) return;
    const whose = origin === '' ? `a page of another origin (Sec-Fetch-Site: ${site})` : origin;
    const why = `The request comes from ${whose}, which is not one of VOLANT_CORS_ORIGINS`;
    throw new VolantError('ORIGIN_FORBIDDEN', why);
  }

  /** Anybody's page can make its origin "null", a guest's has no other: it is nobody's name. */
  #isNamed(origin: string): boolean {
    if (origin === '' || origin === 'null') return false;
    return this.#origins.has(origin) || this.#origins.has('*');
  }
}

/**
 * Behind `guard`: a request that it refuses, or whose path climbs, reaches no route. Here each exchange gets its id.
 */
export function guardRoutes(
  app: TemplatedApp,
  { guard, access, log }: { guard: OriginGuard; access: Access; log: Logger },
): GuardedRoutes {
  const ids = new RequestIds();
  const passes = (
    response: HttpResponse,
    request: HttpRequest,
    requestId: string,
    { mayClimb, ...options }: RouteOptions & { readonly mayClimb: boolean },
  ): boolean => {
    try {
      guard.check(request, options);
      if (mayClimb) checkPath(request.getUrl());
      return true;
    } catch (thrown) {
      const { error, ...reply } = errorReply(thrown);
      log.debug({ request_id: requestId, code: error.code, err: error }, 'request refused');
      writeReply(response, reply, {
        requestId,
        extraHeaders: extraHeadersFor(access, request),
        withoutBody: request.getMethod() === 'head',
        closeConnection: request.getHeader('upgrade') !== '',
      });
      return false;
    }
  };
  const behind =
    (
      add: (
        pattern: string,
        handle: (response: HttpResponse, request: HttpRequest) => void,
      ) => unknown,
    ): AddRoute =>
    (pattern, handle, options) => {
      const checks = { ...options, mayClimb: takesAnyPath(pattern) };
      add.call(app, pattern, (response, request) => {
        const requestId = ids.of(request);
        if (passes(response, request, requestId, checks)) handle(response, request, requestId);
      });
    };
  return {
    get: behind(app.get),
    post: behind(app.post),
    put: behind(app.put),
    patch: behind(app.patch),
    del: behind(app.del),
    any: behind(app.any),
    ws: (pattern, behaviour) => {
      const checks = { mayClimb: takesAnyPath(pattern) };
      app.ws(pattern, {
        ...behaviour,
        upgrade: (response, request, context) => {
          const requestId = ids.of(request);
          if (!passes(response, request, requestId, checks)) return;
          behaviour.upgrade(response, request, context, requestId);
        },
      });
    },
  };
}

/** A pattern without parameters fits one path only, and that one does not climb. */
function takesAnyPath(pattern: string): boolean {
  return /[:*]/.test(pattern);
}

/** Some on the way of a request resolve dots and others do not, so it would mean two things. */
function checkPath(path: string): void {
  if (!hasDotSegment(path)) return;
  const details = { path: 'must have no segment "." or "..", escaped or not' };
  throw new VolantError('PARAMETER_INVALID', undefined, { details });
}

/** A page can send other types without asking first; what is sent here is JSON and nothing else. */
function checkType(request: HttpRequest): void {
  const length = request.getHeader('content-length');
  const hasBody =
    (length !== '' && length !== '0') || request.getHeader('transfer-encoding') !== '';
  if (!hasBody) return;
  const type = request.getHeader('content-type');
  if (/^application\/([\w.+-]+\+)?json *(;|$)/i.test(type)) return;
  const why = `A page must send its body as application/json, not as ${JSON.stringify(type.slice(0, 100))}`;
  throw new VolantError('CONTENT_TYPE_UNSUPPORTED', why);
}

/** In lower case, without the port and the root's dot. */
function nameIn(host: string): string {
  const lower = host.toLowerCase();
  if (isIP(lower) !== 0) return lower;
  return lower.replace(/:\d*$/, '').replace(/\.$/, '');
}

/**
 * No name server can answer for these: what is in brackets, and what ends in a number, which is an IPv4
 * address in one of its notations or nothing (WHATWG URL, "ends in a number").
 */
function isAddress(name: string): boolean {
  return (
    isIP(name) !== 0 ||
    /^\[[\da-f:.]+(%[\w.~-]+)?\]$/.test(name) ||
    /(^|\.)(\d+|0x[\da-f]*)$/.test(name)
  );
}

/** A page that was loaded from where its request goes, by either scheme: a proxy may speak TLS for us. */
function isAt(origin: string, host: string): boolean {
  const [scheme] = /^https?:\/\//.exec(origin) ?? [];
  if (scheme === undefined) return false;
  const here = scheme + host;
  if (origin === here) return true;
  return URL.canParse(origin) && URL.canParse(here) && new URL(origin).host === new URL(here).host;
}
