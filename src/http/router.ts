// http: binds the table of operations to the server: which handler answers what, and what is answered
// when nothing does: 404, 405 with Allow, HEAD for every GET, preflight of browsers.

import { LIMITS } from '../config.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { OPERATIONS, type OperationId } from '../schema/operations.ts';
import { type Access, extraHeadersFor } from './access.ts';
import { parseJson, readBody } from './body.ts';
import { ANYBODY, type Caller, requireScope } from './callers.ts';
import { Exchange, type ExchangeOptions, type RequestHead } from './exchange.ts';
import type { HandlerContext, Handlers, RawHandler } from './handlers.ts';
import { answerOnce } from './idempotent.ts';
import type { GuardedRoutes } from './origin-guard.ts';
import { errorReply, isLong, loudnessOf, type Reply, writeReply } from './reply.ts';
import { type Asked, type Found, readHead } from './request-head.ts';
import { allowedMethods, makeRoute, type Route } from './route.ts';
import { warningsOf, withWarnings } from './strictness.ts';
import type { Traffic } from './traffic.ts';
import type { HttpResponse } from './uws.ts';

export interface RouterParts {
  readonly handlers: Handlers;
  readonly contextFor: (caller: Caller) => HandlerContext;
  readonly access: Access;
  readonly log: Logger;
  readonly traffic: Traffic;
}

const NO_ROUTE = { id: 'none', refusal: undefined };

export function bindRoutes(app: GuardedRoutes, parts: RouterParts): void {
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
    register[route.operation.method](pattern, (response, request, requestId) =>
      handle(parts, route, { response, request, requestId }, null),
    );
  }
  app.any('/*', (response, request, requestId) =>
    fallBack(parts, routes, { response, request, requestId }),
  );
}

/**
 * Everything that reads `request` or attaches to `response` happens before the first await. What is
 * answered at once needs no more than this function: reads cost little beyond what the server does.
 */
function handle(parts: RouterParts, route: Route, asked: Asked, found: Found | null): void {
  const { response, request, requestId } = asked;
  const withoutBody = found?.withoutBody ?? false;
  const extraHeaders = extraHeadersFor(parts.access, request);
  const options = { requestId, extraHeaders, withoutBody, closeConnection: false };
  const { handler } = route;
  let answer: Reply | Promise<Reply>;
  let client = '';
  try {
    parts.traffic.requireOpen();
    const isStream = 'stream' in handler;
    const caller = admit(parts, route, asked, isStream);
    if (route.operation.method !== 'GET') client = clientOf(caller, response);
    // What only reads is answered at once, however much waits.
    if (isStream || client !== '') parts.traffic.admit(client);
    const context = parts.contextFor(caller);
    const head = readHead(route, asked, found, client);
    if ('stream' in handler) {
      answer = { status: 200, body: '', contentType: 'text/event-stream' };
      if (!withoutBody) {
        const exchange = openExchange(parts, response, options);
        stream(parts, route, exchange, () => handler.stream(context, head, exchange));
        return;
      }
    } else if ('raw' in handler) {
      const exchange = openExchange(parts, response, options, client);
      void answerRaw(parts, route, exchange, context, head, handler.raw);
      return;
    } else if (route.operation.request !== undefined) {
      const exchange = openExchange(parts, response, options, client);
      const { bytesMax } = route.operation.request;
      const body = readBody(exchange, bytesMax, LIMITS.bodyTimeoutMs);
      const received = { context, head, body };
      void answerLate(parts, route, exchange, received, (value) => handler(context, head, value));
      return;
    } else {
      const act = () => handler(context, head, undefined);
      answer = head.idempotencyKey === '' ? act() : once(context, route, head, '', undefined, act);
    }
  } catch (error) {
    const { reply, closes } = failure(parts.log, route, requestId, error);
    writeReply(response, reply, { ...options, closeConnection: closes });
    return;
  }
  if (answer instanceof Promise) {
    void settle(parts, route, openExchange(parts, response, options, client), answer);
  } else if (isLong(answer)) {
    openExchange(parts, response, options).reply(answer);
  } else {
    writeReply(response, answer, options);
  }
}

/** A request whose body is on its way. */
interface Received {
  readonly context: HandlerContext;
  readonly head: RequestHead;
  readonly body: Promise<Buffer>;
}

/** With whom others' work is shared out: who has a key of its own, else the address that it comes from. */
function clientOf({ name }: Caller, response: HttpResponse): string {
  if (name !== '') return `key ${name}`;
  return `address ${Buffer.from(response.getRemoteAddressAsText()).toString()}`;
}

/** Who asks, once it is sure that this one may ask for this. */
function admit(
  { access }: RouterParts,
  { operation }: Route,
  { response, request }: Asked,
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
    const problems = route.check?.(value) ?? null;
    if (problems !== null) throw new VolantError('BODY_INVALID', undefined, { details: problems });
    const warnings = warningsOf(route.operation, head.query, value);
    // The client may have gone while it sent; what it asked for was then never complete.
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
    // The client may have gone while it sent; what it asked for was then never complete.
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

/** The answer to what was thrown, told to the log as loudly as it deserves. */
function failure(
  log: Logger,
  { id: operation, refusal }: Pick<Route, 'refusal'> & { readonly id: string },
  requestId: string,
  thrown: unknown,
): { reply: Reply; closes: boolean } {
  const { error, ...reply } = errorReply(thrown, refusal);
  const facts = { operation, request_id: requestId, code: error.code, err: error };
  log[loudnessOf(error)](facts, 'request failed');
  // What is left of an oversized or stuck body would be taken for the next request.
  const closes = error.status === 413 || error.status === 408 || error.code === 'SHUTTING_DOWN';
  return { reply, closes };
}

function fallBack(parts: RouterParts, routes: readonly Route[], asked: Asked): void {
  const { response, request, requestId } = asked;
  const path = request.getUrl();
  const method = request.getMethod().toUpperCase();
  const matching = routes.filter((route) => route.matcher.test(path));
  const readable = matching.find((route) => route.operation.method === 'GET');
  if (method === 'HEAD' && readable !== undefined) {
    const query = request.getQuery() ?? '';
    handle(parts, readable, asked, { path, query, withoutBody: true });
    return;
  }
  if (method === 'GET' && handleEscaped(parts, routes, asked, path)) return;
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
    return;
  }
  try {
    if (parts.access.configured) parts.access.check(request, response, false);
    if (matching.length === 0) throw new VolantError('ROUTE_NOT_FOUND');
    throw new VolantError('METHOD_NOT_ALLOWED', undefined, { headers: { Allow: allowed } });
  } catch (error) {
    const { reply } = failure(parts.log, NO_ROUTE, requestId, error);
    writeReply(response, reply, options);
  }
}

/** Some clients escape the "?" of their query, so that it comes as a part of the path. false: it is not so. */
function handleEscaped(
  parts: RouterParts,
  routes: readonly Route[],
  asked: Asked,
  escaped: string,
): boolean {
  const [, path = '', query = ''] = /^(.*?)%3[Ff](.*)$/.exec(escaped) ?? [];
  const route = routes.find(
    ({ operation, matcher }) =>
      operation.method === 'GET' && operation.query !== undefined && matcher.test(path),
  );
  if (route === undefined) return false;
  handle(parts, route, asked, { path, query, withoutBody: false });
  return true;
}

/** For an answer that comes late: from here on the response must know when its client goes. */
function openExchange(
  { traffic }: RouterParts,
  response: HttpResponse,
  options: ExchangeOptions,
  client = '',
): Exchange {
  traffic.begin(client);
  return new Exchange(response, options, () => traffic.end(client));
}
