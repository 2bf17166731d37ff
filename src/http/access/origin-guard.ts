// http, access: the stage before every route. A browser sends requests on behalf of any page that it has open, so a request
// that a page of another origin may have caused is refused here, before anything else is done with it. Programs that send
// none of a browser's headers pass. access.ts checks keys and client addresses.

import { isIP } from 'node:net';
import type { Config } from '../../config.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log/log.ts';
import { hasDotSegment } from '../../lib/net/dot-segments.ts';
import { errorReply, writeReply } from '../exchange/reply.ts';
import { RequestIds } from '../exchange/request-id.ts';
import type { OperationRequests } from '../exchange/request-meter.ts';
import type {
  HttpRequest,
  HttpResponse,
  TemplatedApp,
  us_socket_context_t,
  WebSocketBehavior,
} from '../uws.ts';
import { type Access, extraHeadersFor } from './access.ts';

type GuardSettings = Pick<Config, 'apiHosts' | 'listen' | 'advertise' | 'corsOrigins'>;

export interface RouteOptions {
  /** The body is for a guest, and may have any Content-Type. */
  readonly bodyOfAnyType?: boolean;
  /** The answer is code without data that no page can frame: a link on any page may lead to it. */
  readonly isApplication?: boolean;
}

type Handle = (response: HttpResponse, request: HttpRequest, requestId: string) => void;
type AddRoute = (pattern: string, handle: Handle, options?: RouteOptions) => void;

/** The part of the server where routes are registered. Every route registered here is behind the guard. */
export interface GuardedRoutes {
  readonly get: AddRoute;
  readonly post: AddRoute;
  readonly put: AddRoute;
  readonly patch: AddRoute;
  readonly del: AddRoute;
  readonly any: AddRoute;
  ws<Data>(pattern: string, behaviour: GuardedWebSocket<Data>): void;
}

/** A WebSocket route. Its upgrade is behind the guard, too. */
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
  /** Any name can be made to resolve to a TCP port (DNS rebinding). Only a local program can reach a unix socket. */
  readonly #checksHost: boolean;
  /** The last Host that was accepted: nearly all requests have the same. */
  #hostBefore = '';

  constructor({ apiHosts, listen, advertise, corsOrigins }: GuardSettings) {
    const own = listen.kind === 'tcp' ? [listen.host, advertise.host] : [advertise.host];
    this.#names = new Set(['localhost', ...apiHosts, ...own.map(hostNameIn)]);
    this.#origins = new Set(corsOrigins);
    this.#checksHost = listen.kind === 'tcp';
  }

  /** Throws HOST_FORBIDDEN, ORIGIN_FORBIDDEN or CONTENT_TYPE_UNSUPPORTED. */
  check(
    request: HttpRequest,
    { bodyOfAnyType = false, isApplication = false }: RouteOptions = {},
  ): void {
    const host = request.getHeader('host');
    if (this.#checksHost && host !== this.#hostBefore) {
      this.#checkHost(host);
      this.#hostBefore = host;
    }
    const origin = request.getHeader('origin');
    const site = request.getHeader('sec-fetch-site');
    if (origin === '' && site === '') return;
    if (isApplication && isVisit(request)) return;
    this.#checkOrigin(origin, site, host);
    if (origin !== '' && !bodyOfAnyType) checkType(request);
  }

  /** true if a request with this Host, `name` or `name:port`, can be meant for this daemon. */
  isOurName(host: string): boolean {
    const name = hostNameIn(host);
    return this.#names.has(name) || isAddress(name);
  }

  #checkHost(host: string): void {
    if (this.isOurName(host)) return;
    const why = `The request is for ${JSON.stringify(host.slice(0, 100))}, which is neither an address, localhost nor one of VOLANT_API_HOSTS`;
    throw new VolantError('HOST_FORBIDDEN', why);
  }

  #checkOrigin(origin: string, site: string, host: string): void {
    if (this.#isNamed(origin)) return;
    // Other ports and names of the same site can belong to others, so "same-site" is not enough.
    const isOwnSite = site === '' || site === 'same-origin' || site === 'none';
    if (isOwnSite && (origin === '' || (isAt(origin, host) && this.isOurName(host)))) return;
    const whose = origin === '' ? `a page of another origin (Sec-Fetch-Site: ${site})` : origin;
    const why = `The request comes from ${whose}, which is not one of VOLANT_CORS_ORIGINS`;
    throw new VolantError('ORIGIN_FORBIDDEN', why);
  }

  /** Any page can make its origin "null", and a guest's page has no other: "null" identifies nobody. */
  #isNamed(origin: string): boolean {
    if (origin === '' || origin === 'null') return false;
    return this.#origins.has(origin) || this.#origins.has('*');
  }
}

/**
 * Puts `guard` in front of routes. A request that it refuses, or whose path has dot segments, reaches no route. Each
 * exchange gets its id here.
 */
export function guardRoutes(
  app: TemplatedApp,
  {
    guard,
    access,
    log,
    refused,
  }: { guard: OriginGuard; access: Access; log: Logger; refused: OperationRequests },
): GuardedRoutes {
  const ids = new RequestIds();
  const passes = (
    response: HttpResponse,
    request: HttpRequest,
    requestId: string,
    checks: RouteOptions & { readonly mayClimb: boolean },
  ): boolean => {
    try {
      guard.check(request, checks);
      if (checks.mayClimb) checkPath(request.getUrl());
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
      refused.untimed(reply.status);
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

/** A pattern without parameters matches exactly one path, which has no dot segments. */
function takesAnyPath(pattern: string): boolean {
  return /[:*]/.test(pattern);
}

/** Some programs on the way of a request resolve dot segments and others do not, so such a path is ambiguous. */
function checkPath(path: string): void {
  if (!hasDotSegment(path)) return;
  const details = { path: 'must have no segment "." or "..", escaped or not' };
  throw new VolantError('PARAMETER_INVALID', undefined, { details });
}

/** A page can send the types of HTML forms without a preflight. This API takes JSON only. */
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

/**
 * true if the user goes to this address, by a link or a redirect: the browser shows the answer in a window of its own, where
 * the page that led here can neither read it nor act in it.
 */
function isVisit(request: HttpRequest): boolean {
  return (
    request.getMethod() === 'get' &&
    request.getHeader('origin') === '' &&
    request.getHeader('sec-fetch-mode') === 'navigate' &&
    request.getHeader('sec-fetch-dest') === 'document'
  );
}

/** In lower case, without the port and without the trailing dot. */
function hostNameIn(host: string): string {
  const lower = host.toLowerCase();
  if (isIP(lower) !== 0) return lower;
  return lower.replace(/:\d*$/, '').replace(/\.$/, '');
}

/**
 * No name server can answer for these: a name in brackets, and a name that ends in a number, which is an IPv4 address in
 * one of its notations or invalid (WHATWG URL, "ends in a number").
 */
function isAddress(name: string): boolean {
  return (
    isIP(name) !== 0 ||
    /^\[[\da-f:.]+(%[\w.~-]+)?\]$/.test(name) ||
    /(^|\.)(\d+|0x[\da-f]*)$/.test(name)
  );
}

/**
 * true if the page was loaded from the host that it sends to, by http or https: a proxy may terminate TLS for this daemon.
 */
function isAt(origin: string, host: string): boolean {
  const [scheme] = /^https?:\/\//.exec(origin) ?? [];
  if (scheme === undefined) return false;
  const here = scheme + host;
  if (origin === here) return true;
  return URL.canParse(origin) && URL.canParse(here) && new URL(origin).host === new URL(here).host;
}
