// http, guests: what requests have in common whose body and answer are relayed as they come, between a client and the agent of a
// guest: their options, and the answer to those that are refused before anything is relayed.

import type { Logger } from '../../lib/log/log.ts';
import { type Access, extraHeadersFor } from '../access/access.ts';
import type { Counted } from '../exchange/counted-exchange.ts';
import type { ExchangeOptions, IncomingRequest } from '../exchange/exchange.ts';
import { errorReply, writeReply } from '../exchange/reply.ts';
import type { Traffic } from '../traffic.ts';

export interface RelayedRequestParts {
  readonly access: Access;
  readonly traffic: Traffic;
  readonly log: Logger;
}

export function relayOptions(
  { access }: Pick<RelayedRequestParts, 'access'>,
  { request, requestId }: IncomingRequest,
): ExchangeOptions {
  const withoutBody = request.getMethod() === 'head';
  return { extraHeaders: extraHeadersFor(access, request), withoutBody, requestId };
}

/** Calls `begin` if one more request may be under way, and answers with the error that either throws. */
export function beginRelay(
  { traffic, log }: Pick<RelayedRequestParts, 'traffic' | 'log'>,
  { response, request, requestId }: IncomingRequest,
  options: ExchangeOptions,
  { requests, startedMs }: Counted,
  begin: () => void,
): void {
  try {
    traffic.admit();
    begin();
  } catch (thrown) {
    const { error, ...reply } = errorReply(thrown);
    const facts = { operation: requests.operation, request_id: requestId, code: error.code };
    log.debug({ ...facts, err: error }, 'request failed');
    // Nobody has read the body, and it would be parsed as the next request.
    const hasBody = !['get', 'head'].includes(request.getMethod());
    writeReply(response, reply, { ...options, closeConnection: hasBody });
    requests.answered(reply.status, startedMs);
  }
}

/** Logs why an answer ended in the middle: its client only sees a closed connection. */
export function whenCut(
  { log }: Pick<RelayedRequestParts, 'log'>,
  vm: string,
  requestId: string,
): (cause: Error) => void {
  return (err) => log.warn({ vm, request_id: requestId, err }, 'the answer of a guest was cut off');
}
