// http, exchange: the id of an exchange. A client may send one, so that its log and the daemon's name the same request;
// otherwise one is generated. The cause of an action carries it further: see engine/events/cause.ts.

import { randomBytes } from 'node:crypto';
import { LIMITS } from '../../config/limits.ts';
import type { Cause } from '../../engine/engine-api.ts';
import type { HttpRequest } from '../uws.ts';

export const REQUEST_ID_HEADER = 'X-Request-Id';

/** Characters that need no quoting in a header, a log line or a shell. */
const ID_FORM = new RegExp(`^[\\w.:+/=@-]{1,${LIMITS.requestIdCharactersMax}}$`);

/** Generates ids that are unique within one run of the daemon. Ids of two runs differ in their first part. */
export class RequestIds {
  readonly #prefix = `${randomBytes(5).toString('hex')}-`;
  #count = 0;

  /** The client's id if it is well formed, otherwise a new one. Must be cheap: every answer has one. */
  of(request: Pick<HttpRequest, 'getHeader'>): string {
    const given = request.getHeader('x-request-id');
    if (given !== '' && ID_FORM.test(given)) return given;
    this.#count += 1;
    return this.#prefix + this.#count;
  }
}

/** A request that causes something, and for whom it is done; empty where that is not known. */
interface Requester {
  readonly requestId: string;
  readonly client: string;
}

/** A request as the cause of what it asks for. */
export function requested({ requestId, client }: Requester): Cause {
  return { by: 'request', requestId, ...(client === '' ? {} : { client }) };
}
