// http: binds the table of operations to the server: which handler answers what, and what is answered
// when nothing does: 404, 405 with Allow, HEAD for every GET, preflight of browsers.

import { LIMITS } from '../config.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { OPERATIONS, type Operation, type OperationId } from '../schema/operations.ts';
import { compileValidator } from '../schema/validate.ts';
import type { Access } from './access.ts';
import { parseJson, readBody } from './body.ts';
import { decoded, Exchange, queryOf, type RequestHead } from './exchange.ts';
import type { Handler, HandlerContext, Handlers, StreamHandler } from './handlers.ts';
import { errorReply, type Reply } from './reply.ts';
import type { HttpRequest, HttpResponse, TemplatedApp } from './uws.ts';

export interface RouterParts {
  readonly handlers: Handlers;
  readonly context: HandlerContext;
  readonly access: Access;
  readonly log: Logger;
  /** Told when a request has come and when it is over; false refuses new ones. */
  readonly traffic: {
    begin(): void;
    end(): void;
    readonly size: number;
    readonly accepting: boolean;
  };
}

/** An operation with everything that its requests need, worked out once. */
interface Route {
  readonly id: OperationId;
  readonly operation: Operation;
  readonly parameterCount: number;
  readonly handler: Handler | { readonly stream: StreamHandler };
  readonly check: ReturnType<typeof compileValidator> | null;
  readonly matcher: RegExp;
}

export function bindRoutes(app: TemplatedApp, parts: RouterParts): void {
  const routes = Object.keys(OPERATIONS).map((id) => makeRoute(id as OperationId, parts.handlers));
  const register = {
    GET: app.get,
    POST: app.post,
    PUT: app.put,
    PATCH: app.patch,
    DELETE: app.del,
  } as const;
  for (const route of routes) {
    const pattern = route.operation.path.replaceAll(/\{(\w+)\}/g, ':$1');
    register[route.operation.method].call(app, pattern, (response, request) =>
      handle(parts, route, response, request, false),
    );
  }
  app.any('/*', (response, request) => fallBack(parts, routes, response, request));
}

function makeRoute(id: OperationId, handlers: Handlers): Route {
  const operation: Operation = OPERATIONS[id];
  const pattern = operation.path.replaceAll(/\{\w+\}/g, '([^/]+)');
  return {
    id,
    operation,
    parameterCount: [...operation.path.matchAll(/\{\w+\}/g)].length,
    handler: handlers[id],
    check: operation.request === undefined ? null : compileValidator(operation.request.schema),
    matcher: new RegExp(`^${pattern}$`),
  };
}

/** Everything that reads `request` or attaches to `response` happens before the first await. */
function handle(
  parts: RouterParts,
  route: Route,
  response: HttpResponse,
  request: HttpRequest,
  withoutBody: boolean,
): void {
  const exchange = openExchange(parts, response, request, withoutBody);
  try {
    admit(parts.traffic);
    const streams = 'stream' in route.handler;
    if (route.id !== 'getHealth') parts.access.check(request, response, streams);
    const head = readHead(route, request, withoutBody);
    if ('stream' in route.handler) {
      if (withoutBody) exchange.reply({ status: 200, body: '', contentType: 'text/event-stream' });
      else route.handler.stream(parts.context, head, exchange);
      return;
    }
    const { handler } = route;
    if (route.check !== null && route.operation.request !== undefined) {
      const body = readBody(response, route.operation.request.bytesMax, LIMITS.bodyTimeoutMs);
      void answerLate(parts, route, exchange, body, (value) => handler(parts.context, head, value));
      return;
    }
    const reply = handler(parts.context, head, undefined);
    if (reply instanceof Promise) void settle(parts, route, exchange, reply);
    else exchange.reply(reply);
  } catch (error) {
    fail(parts, route.id, exchange, error);
  }
}

function admit(traffic: RouterParts['traffic']): void {
  if (!traffic.accepting) {
    throw new VolantError('SHUTTING_DOWN', undefined, { retryAfterSeconds: 1 });
  }
  if (traffic.size > LIMITS.requestsInFlightMax) {
    throw new VolantError('OVERLOADED', undefined, { retryAfterSeconds: 1 });
  }
}

async function answerLate(
  parts: RouterParts,
  route: Route,
  exchange: Exchange,
  body: Promise<Buffer>,
  answer: (value: unknown) => Reply | Promise<Reply>,
): Promise<void> {
  try {
    const value = parseJson(await body);
    const problems = route.check?.(value) ?? null;
    if (problems !== null) throw new VolantError('BODY_INVALID', undefined, { details: problems });
    // The client may have gone while it sent; what it asked for was then never complete.
    if (exchange.open) exchange.reply(await answer(value));
  } catch (error) {
    fail(parts, route.id, exchange, error);
  }
}

async function settle(
  parts: RouterParts,
  route: Route,
  exchange: Exchange,
  reply: Promise<Reply>,
): Promise<void> {
  try {
    exchange.reply(await reply);
  } catch (error) {
    fail(parts, route.id, exchange, error);
  }
}

function fail(parts: RouterParts, id: string, exchange: Exchange, thrown: unknown): void {
  const { error, ...reply } = errorReply(thrown);
  const level = error.status >= 500 && error.status !== 503 ? 'error' : 'debug';
  parts.log[level]({ operation: id, code: error.code, err: error }, 'request failed');
  // What is left of an oversized or stuck body would be taken for the next request.
  const closes = error.status === 413 || error.status === 408 || error.code === 'SHUTTING_DOWN';
  exchange.reply(reply, closes);
}

function fallBack(
  parts: RouterParts,
  routes: readonly Route[],
  response: HttpResponse,
  request: HttpRequest,
): void {
  const path = request.getUrl();
  const method = request.getMethod().toUpperCase();
  const matching = routes.filter((route) => route.matcher.test(path));
  const readable = matching.find((route) => route.operation.method === 'GET');
  if (method === 'HEAD' && readable !== undefined) {
    handle(parts, readable, response, request, true);
    return;
  }
  const exchange = openExchange(parts, response, request, method === 'HEAD');
  const allowed = allowedMethods(matching);
  try {
    if (method === 'OPTIONS') {
      exchange.reply({ status: 204, headers: { Allow: allowed || 'OPTIONS' } });
      return;
    }
    parts.access.check(request, response, false);
    if (matching.length === 0) throw new VolantError('ROUTE_NOT_FOUND');
    throw new VolantError('METHOD_NOT_ALLOWED', undefined, { headers: { Allow: allowed } });
  } catch (error) {
    fail(parts, 'none', exchange, error);
  }
}

function allowedMethods(routes: readonly Route[]): string {
  const methods: string[] = routes.map((route) => route.operation.method);
  if (methods.length === 0) return '';
  if (methods.includes('GET')) methods.push('HEAD');
  return [...methods, 'OPTIONS'].join(', ');
}

function openExchange(
  parts: RouterParts,
  response: HttpResponse,
  request: HttpRequest,
  withoutBody: boolean,
): Exchange {
  const { access, traffic } = parts;
  const extraHeaders = access.configured ? access.corsHeaders(request.getHeader('origin')) : [];
  traffic.begin();
  return new Exchange(response, { extraHeaders, withoutBody }, () => traffic.end());
}

function readHead(route: Route, request: HttpRequest, matched: boolean): RequestHead {
  const path = request.getUrl();
  return {
    operation: route.id,
    method: route.operation.method,
    path,
    parameters: matched ? parametersIn(route, path) : parametersOf(route, request),
    query: queryOf(request),
    host: request.getHeader('host'),
    lastEventId: request.getHeader('last-event-id'),
  };
}

/** By index: this server's binary does not know parameters by name. */
function parametersOf(route: Route, request: HttpRequest): readonly string[] {
  return Array.from({ length: route.parameterCount }, (_, index) =>
    decoded(request.getParameter(index) ?? ''),
  );
}

function parametersIn(route: Route, path: string): readonly string[] {
  return (route.matcher.exec(path) ?? []).slice(1).map(decoded);
}
