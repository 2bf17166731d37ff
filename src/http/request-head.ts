// http: what is read of a request before its body: parameters, query, and the headers that its operation knows. All of it is
// copied: the request is gone when the server's callback returns.

import { decoded, type RequestHead } from './exchange.ts';
import type { Route } from './route.ts';
import type { HttpRequest, HttpResponse } from './uws.ts';

const NO_NAMES: RequestHead['headers'] = {};

/** A request that has come through the guard. */
export interface Asked {
  readonly response: HttpResponse;
  readonly request: HttpRequest;
  readonly requestId: string;
}

/** A request whose route was found by us rather than by the server. */
export interface Found {
  readonly path: string;
  readonly query: string;
  /** HEAD. */
  readonly withoutBody: boolean;
}

/** What the operation may want to know. */
export function readHead(
  route: Route,
  { request, requestId }: Asked,
  found: Found | null,
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

/** Not a key, and not none either. */
const NO_KEY = ' ';

/** The server trims bytes above 0x7f, too: what is left of a key of such bytes must not pass for a request without one. */
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

/** By index: this server's binary does not know parameters by name. */
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
