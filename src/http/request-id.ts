// http: the id of an exchange. A client may bring one, so that its own log and ours tell of the same request; else one
// is made. What carries it on is the cause of what is done: see engine/cause.ts.

import { randomBytes } from 'node:crypto';
import { LIMITS } from '../config.ts';
import type { Cause } from '../engine/engine-api.ts';
import type { RequestHead } from './exchange.ts';
import type { HttpRequest } from './uws.ts';

export const REQUEST_ID_HEADER = 'X-Request-Id';

/** What stays one word in a header, a line of a log and a shell. */
const ID_FORM = new RegExp(`^[\\w.:+/=@-]{1,${LIMITS.requestIdCharactersMax}}$`);

/** Ids of one daemon's life. Those of two lives differ in their first part. */
export class RequestIds {
  readonly #prefix = `${randomBytes(5).toString('hex')}-`;
  #count = 0;

  /** The client's own where it is well formed, else a new one. Costs next to nothing: every answer has one. */
  of(request: Pick<HttpRequest, 'getHeader'>): string {
    const given = request.getHeader('x-request-id');
    if (given !== '' && ID_FORM.test(given)) return given;
    this.#count += 1;
    return this.#prefix + this.#count;
  }
}

/** A request as the cause of what it asks for. */
export function requested({ requestId, client }: Pick<RequestHead, 'requestId' | 'client'>): Cause {
  return { by: 'request', requestId, ...(client === '' ? {} : { client }) };
}
