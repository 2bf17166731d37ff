// http: binds the table of operations to the server: the handler of each, and the answers that no handler gives: 404, 405
// with Allow, HEAD for every GET, preflight requests of browsers.

import { LIMITS } from '../config/limits.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log/log.ts';
import { type Access, extraHeadersFor } from './access/access.ts';
import { ANYBODY, type Caller, requireScope } from './access/callers.ts';
import type { GuardedRoutes } from './access/origin-guard.ts';
import { parseJson, readBody } from './exchange/body.ts';
import { countedExchange } from './exchange/counted-exchange.ts';
import type {
  Exchange,
  ExchangeOptions,
  IncomingRequest,
  RequestHead,
} from './exchange/exchange.ts';
import { answerOnce } from './exchange/idempotent.ts';
import { errorReply, isLong, logLevelOf, type Reply, writeReply } from './exchange/reply.ts';
import { NO_OPERATION, type RequestMeter } from './exchange/request-meter.ts';
import { admitBody, withWarnings } from './exchange/strictness.ts';
import type { HandlerContext, Handlers, RawHandler } from './handlers.ts';
import { type MatchedRoute, readHead } from './request-head.ts';
import { allowedMethods, makeRoutes, type Route } from './route.ts';
import type { Traffic } from './traffic.ts';
import type { HttpResponse } from './uws.ts';

export interface RouterParts {
  readonly handlers: Handlers;
  readonly contextFor: (caller: Caller) => HandlerContext;
  readonly access: Access;
  readonly log: Logger;
  readonly traffic: Traffic;
  readonly meter: RequestMeter;
}

const NO_ROUTE = { id: 'none', refusal: undefined };

export function bindRoutes(app: GuardedRoutes, parts: RouterParts): void {
  const routes = makeRoutes(parts.handlers, parts.meter);
  const register = {
    GET: app.get,
    POST: app.post,
    PUT: app.put,
    PATCH: app.patch,
    DELETE: app.del,
  } as const;
  for (const route of routes) {
    const pattern = route.operation.path.replaceAll(/\{(\w+)\}/g, ':$1');
    register[route.operation.method](pattern, (response, request, requestId) =>
      handle(parts, route, { response, request, requestId }, null),
    );
  }
  app.any('/*', (response, request, requestId) =>
    fallBack(parts, routes, { response, request, requestId }),
  );
}

/**
 * Everything that reads `request` or attaches to `response` happens before the first await. An answer that is known at once
 * needs only this function, so that a read costs little more than the server itself.
 */
function handle(
  parts: RouterParts,
  route: Route,
  incoming: IncomingRequest,
  found: MatchedRoute | null,
): void {
  const startedMs = performance.now();
  const { response, request, requestId } = incoming;
  const withoutBody = found?.withoutBody ?? false;
  const extraHeaders = extraHeadersFor(parts.access, request);
  const options = { requestId, extraHeaders, withoutBody, closeConnection: false };
  const { handler } = route;
  let answer: Reply | Promise<Reply>;
  let client = '';
  try {
    parts.traffic.requireOpen();
    const isStream = 'stream' in handler;
    const caller = admit(parts, route, incoming, isStream);
    if (route.operation.method !== 'GET') client = clientOf(caller, response);
    // Reads are answered at once, whatever the load of changes is.
    if (isStream || client !== '') parts.traffic.admit(client);
    const context = parts.contextFor(caller);
    const head = readHead(route, incoming, found, client);
    if ('stream' in handler) {
      answer = { status: 200, body: '', contentType: 'text/event-stream' };
      if (!withoutBody) {
        const exchange = openExchange(parts, route, response, options, startedMs);
        stream(parts, route, exchange, () => handler.stream(context, head, exchange));
        return;
      }
    } else if ('raw' in handler) {
      const exchange = openExchange(parts, route, response, options, startedMs, client);
      void answerRaw(parts, route, exchange, context, head, handler.raw);
      return;
    } else if (route.operation.request !== undefined) {
      const exchange = openExchange(parts, route, response, options, startedMs, client);
      const { bytesMax } = route.operation.request;
      const body = readBody(exchange, bytesMax, LIMITS.bodyTimeoutMs);
      const received = { context, head, body };
      void answerLate(parts, route, exchange, received, (value) =>
        handler(context, head, value, exchange),
      );
      return;
    } else {
      const act = () => handler(context, head, undefined);
      answer = head.idempotencyKey === '' ? act() : once(context, route, head, '', undefined, act);
    }
  } catch (error) {
    const { reply, closes } = failure(parts.log, route, requestId, error);
    writeReply(response, reply, { ...options, closeConnection: closes });
    route.requests.answered(reply.status, startedMs);
    return;
  }
  if (answer instanceof Promise) {
    const exchange = openExchange(parts, route, response, options, startedMs, client);
    void settle(parts, route, exchange, answer);
  } else if (isLong(answer)) {
    openExchange(parts, route, response, options, startedMs).reply(answer);
  } else {
    writeReply(response, answer, options);
    route.requests.answered(answer.status, startedMs);
  }
}

/** A request whose body is still arriving. */
interface Received {
  readonly context: HandlerContext;
  readonly head: RequestHead;
  readonly body: Promise<Buffer>;
}

/** The client for the fair share of capacity: the name of its API key, or its address. */
function clientOf({ name }: Caller, response: HttpResponse): string {
  if (name !== '') return `key ${name}`;
  return `address ${Buffer.from(response.getRemoteAddressAsText()).toString()}`;
}

/** The caller, after its key and scope were checked. */
function admit(
  { access }: RouterParts,
  { operation }: Route,
  { response, request }: IncomingRequest,
  keyInQuery: boolean,
): Caller {
  if (operation.scope === 'none' || !access.configured) return ANYBODY;
  const caller = access.check(request, response, keyInQuery);
  requireScope(caller, operation.scope, operation.summary);
  return caller;
}

async function answerLate(
  parts: RouterParts,
  route: Route,
  exchange: Exchange,
  { context, head, body }: Received,
  answer: (value: unknown) => Reply | Promise<Reply>,
): Promise<void> {
  try {
    const raw = await body;
    const value = parseJson(raw);
    const warnings = admitBody(route.operation, route.check, head.query, value);
    // The client may have disconnected while it sent its body; the request was then never complete.
    if (!exchange.open) return;
    const act = async () => withWarnings(await answer(value), warnings);
    const keyed = head.idempotencyKey !== '';
    const reply = keyed ? once(context, route, head, raw.toString(), value, act) : act();
    exchange.reply(await reply);
  } catch (error) {
    fail(parts, route, exchange, error);
  }
}

async function answerRaw(
  parts: RouterParts,
  route: Route,
  exchange: Exchange,
  context: HandlerContext,
  head: RequestHead,
  handler: RawHandler,
): Promise<void> {
  try {
    const bytesMax = route.operation.request?.bytesMax ?? LIMITS.bodyBytesMax;
    const raw = await readBody(exchange, bytesMax, LIMITS.bodyTimeoutMs);
    // The client may have disconnected while it sent its body; the request was then never complete.
    if (!exchange.open) return;
    const reply = await handler(context, head, raw, exchange);
    if (reply !== null) exchange.reply(reply);
  } catch (error) {
    fail(parts, route, exchange, error);
  }
}

function once(
  context: HandlerContext,
  route: Route,
  head: RequestHead,
  rawBody: string,
  body: unknown,
  act: () => Reply | Promise<Reply>,
): Promise<Reply> {
  const target = `${head.parameters.join('/')}?${head.query}`;
  const request = {
    key: head.idempotencyKey,
    operationId: route.id,
    target,
    rawBody,
    body,
  };
  return answerOnce(context.engine, request, async () => act());
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
    fail(parts, route, exchange, error);
  }
}

function stream(parts: RouterParts, route: Route, exchange: Exchange, begin: () => void): void {
  try {
    begin();
  } catch (error) {
    fail(parts, route, exchange, error);
  }
}

function fail(parts: RouterParts, route: Route, exchange: Exchange, thrown: unknown): void {
  const { reply, closes } = failure(parts.log, route, exchange.requestId, thrown);
  exchange.reply(reply, closes);
}

/** Converts what was thrown into an answer, and logs it at the right level. */
function failure(
  log: Logger,
  { id: operation, refusal }: Pick<Route, 'refusal'> & { readonly id: string },
  requestId: string,
  thrown: unknown,
): { reply: Reply; closes: boolean } {
  const { error, ...reply } = errorReply(thrown, refusal);
  const facts = { operation, request_id: requestId, code: error.code, err: error };
  log[logLevelOf(error)](facts, 'request failed');
  // The rest of an oversized or stalled body would be parsed as the next request.
  const closes = error.status === 413 || error.status === 408 || error.code === 'SHUTTING_DOWN';
  return { reply, closes };
}

function fallBack(parts: RouterParts, routes: readonly Route[], incoming: IncomingRequest): void {
  const startedMs = performance.now();
  const requests = parts.meter.of(NO_OPERATION);
  const { response, request, requestId } = incoming;
  const path = request.getUrl();
  const method = request.getMethod().toUpperCase();
  const matching = routes.filter((route) => route.matcher.test(path));
  const readable = matching.find((route) => route.operation.method === 'GET');
  if (method === 'HEAD' && readable !== undefined) {
    const query = request.getQuery() ?? '';
    handle(parts, readable, incoming, { path, query, withoutBody: true });
    return;
  }
  if (method === 'GET' && handleEscaped(parts, routes, incoming, path)) return;
  const extraHeaders = extraHeadersFor(parts.access, request);
  const options = {
    requestId,
    extraHeaders,
    withoutBody: method === 'HEAD',
    closeConnection: false,
  };
  const allowed = allowedMethods(matching);
  if (method === 'OPTIONS') {
    writeReply(response, { status: 204, headers: { Allow: allowed || 'OPTIONS' } }, options);
    requests.answered(204, startedMs);
    return;
  }
  try {
    if (parts.access.configured) parts.access.check(request, response, false);
    if (matching.length === 0) throw new VolantError('ROUTE_NOT_FOUND');
    throw new VolantError('METHOD_NOT_ALLOWED', undefined, { headers: { Allow: allowed } });
  } catch (error) {
    const { reply } = failure(parts.log, NO_ROUTE, requestId, error);
    writeReply(response, reply, options);
    requests.answered(reply.status, startedMs);
  }
}

/**
 * Some clients escape the "?" before their query, so that it is part of the path. false: this request is not of that kind.
 */
function handleEscaped(
  parts: RouterParts,
  routes: readonly Route[],
  incoming: IncomingRequest,
  escaped: string,
): boolean {
  const [, path = '', query = ''] = /^(.*?)%3[Ff](.*)$/.exec(escaped) ?? [];
  const route = routes.find(
    ({ operation, matcher }) =>
      operation.method === 'GET' && operation.query !== undefined && matcher.test(path),
  );
  if (route === undefined) return false;
  handle(parts, route, incoming, { path, query, withoutBody: false });
  return true;
}

function openExchange(
  { traffic, log }: RouterParts,
  { requests }: Route,
  response: HttpResponse,
  options: ExchangeOptions,
  startedMs: number,
  client = '',
): Exchange {
  const exchange = countedExchange(traffic, { requests, startedMs }, response, options, client);
  exchange.onBroken = (error) => {
    const facts = { operation: requests.operation, request_id: exchange.requestId, err: error };
    log.error(facts, 'an answer could not be completed');
  };
  return exchange;
}
