// http: reads a request's parameters, query and the headers that its operation declares, before its body.
// Everything is copied, because the request is invalid after the server's callback returns.

import { decoded, type IncomingRequest, type RequestHead } from './exchange/exchange.ts';
import type { Route } from './route.ts';
import type { HttpRequest } from './uws.ts';

const NO_NAMES: RequestHead['headers'] = {};

/** A request whose route this daemon found itself, not the server's router. */
export interface MatchedRoute {
  readonly path: string;
  readonly query: string;
  /** true for HEAD. */
  readonly withoutBody: boolean;
}

/** What the operation declares that it reads. */
export function readHead(
  route: Route,
  { request, requestId }: IncomingRequest,
  found: MatchedRoute | null,
  client: string,
): RequestHead {
  const { headers, method } = route.operation;
  return {
    parameters: found === null ? parametersOf(route, request) : parametersIn(route, found.path),
    query: route.takesQuery ? (found?.query ?? request.getQuery() ?? '') : '',
    host: route.id === 'getOpenAPI' ? request.getHeader('host') : '',
    requestId,
    client,
    idempotencyKey: method === 'POST' ? idempotencyKeyIn(request) : '',
    headers: headers === undefined ? NO_NAMES : headersOf(request, headers),
  };
}

/** Stands for a key that was sent and is invalid. */
const NO_KEY = ' ';

/** The server trims bytes above 0x7f, too. A key of such bytes must not be taken for a missing key. */
function idempotencyKeyIn(request: HttpRequest): string {
  const key = request.getHeader('idempotency-key');
  if (key !== '') return key;
  let isThere = false;
  request.forEach((name) => {
    isThere ||= name === 'idempotency-key';
  });
  return isThere ? NO_KEY : '';
}

function headersOf(request: HttpRequest, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, request.getHeader(name)]));
}

/** By index: the server's binary does not support parameters by name. */
function parametersOf(route: Route, request: HttpRequest): readonly string[] {
  const parameters: string[] = [];
  for (let index = 0; index < route.parameterCount; index += 1) {
    parameters.push(decoded(request.getParameter(index) ?? ''));
  }
  return parameters;
}

function parametersIn(route: Route, path: string): readonly string[] {
  return (route.matcher.exec(path) ?? []).slice(1).map(decoded);
}
