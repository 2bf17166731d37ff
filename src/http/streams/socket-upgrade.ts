// http, streams: how a request for a WebSocket is admitted, accepted or refused, the same for every kind of socket. A refusal is
// a JSON answer in place of the upgrade.

import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { Scope } from '../../lib/scopes.ts';
import { type Access, extraHeadersFor } from '../access/access.ts';
import { ANYBODY, type Caller, requireScope } from '../access/callers.ts';
import type { IncomingRequest } from '../exchange/exchange.ts';
import { errorReply, writeReply } from '../exchange/reply.ts';
import { REQUEST_ID_HEADER } from '../exchange/request-id.ts';
import type { Connections } from '../open-connections.ts';
import type { Traffic } from '../traffic.ts';
import type { HttpRequest, us_socket_context_t } from '../uws.ts';

export interface UpgradeParts {
  readonly access: Access;
  readonly traffic: Traffic;
  readonly connections: Pick<Connections, 'becameWebSocket'>;
  readonly log: Logger;
}

/** What the answer of an upgrade is made of. */
export interface Handshake {
  readonly key: string;
  /** What the client offers; in the answer the one that was chosen. */
  readonly protocol: string;
  readonly extensions: string;
  readonly context: us_socket_context_t;
}

/** The request can be read only while its handler runs; an upgrade may be accepted later. */
export function handshakeOf(request: HttpRequest, context: us_socket_context_t): Handshake {
  return {
    key: request.getHeader('sec-websocket-key'),
    protocol: request.getHeader('sec-websocket-protocol'),
    extensions: request.getHeader('sec-websocket-extensions'),
    context,
  };
}

/** The caller of an upgrade. Throws what is answered instead of it: too many requests, no valid key, or a scope too low. */
export function admitUpgrade(
  { access, traffic }: Pick<UpgradeParts, 'access' | 'traffic'>,
  { response, request }: IncomingRequest,
  scope: Scope,
  what: string,
): Caller {
  traffic.admit();
  // Browsers cannot send headers with a WebSocket.
  const caller = access.configured ? access.check(request, response, true) : ANYBODY;
  requireScope(caller, scope, what);
  return caller;
}

/** Answers 101; the socket with `data` opens at once. Runs in the handler of the request, or corked. */
export function acceptUpgrade<Data>(
  { connections }: Pick<UpgradeParts, 'connections'>,
  { response, requestId }: Pick<IncomingRequest, 'response' | 'requestId'>,
  { key, protocol, extensions, context }: Handshake,
  data: Data,
): void {
  connections.becameWebSocket();
  // Writing a header first would make the server send status 200.
  response.writeStatus('101 Switching Protocols');
  response.writeHeader(REQUEST_ID_HEADER, requestId);
  response.upgrade<Data>(data, key, protocol, extensions, context);
}

/** Answers with the error. `what` names the socket in the log. */
export function refuseUpgrade(
  { access, log }: Pick<UpgradeParts, 'access' | 'log'>,
  { response, request, requestId }: IncomingRequest,
  thrown: unknown,
  what: string,
): void {
  const { error, ...reply } = errorReply(thrown);
  const facts = { request_id: requestId, code: error.code, err: error };
  log.debug(facts, `${what} was refused`);
  const extraHeaders = extraHeadersFor(access, request);
  const options = { requestId, extraHeaders, withoutBody: false, closeConnection: true };
  writeReply(response, reply, options);
}

/** Answers a request without an upgrade to the path of a socket. A missing key is reported first, as everywhere. */
export function refusePlain(
  parts: Pick<UpgradeParts, 'access' | 'log'>,
  incoming: IncomingRequest,
  what: string,
): void {
  const { access } = parts;
  try {
    if (access.configured) access.check(incoming.request, incoming.response, true);
    throw new VolantError('FEATURE_UNAVAILABLE', 'This path needs a WebSocket upgrade');
  } catch (error) {
    refuseUpgrade(parts, incoming, error, what);
  }
}
