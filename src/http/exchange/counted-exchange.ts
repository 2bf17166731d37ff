// http, exchange: an answer that comes later. It counts as traffic until it is complete, and in the figures of its operation
// afterwards.

import type { Traffic } from '../traffic.ts';
import type { HttpResponse } from '../uws.ts';
import { Exchange, type ExchangeOptions } from './exchange.ts';
import type { OperationRequests } from './request-meter.ts';

/** Where a request is counted, and since when it is under way on the monotonic clock. */
export interface Counted {
  readonly requests: OperationRequests;
  readonly startedMs: number;
}

/** From here on the response must notice that its client disconnects. `client` is empty for reads. */
export function countedExchange(
  traffic: Traffic,
  { requests, startedMs }: Counted,
  response: HttpResponse,
  options: ExchangeOptions,
  client = '',
): Exchange {
  traffic.begin(client);
  const exchange = new Exchange(response, options, () => {
    traffic.end(client);
    const { status, isStreamed } = exchange;
    if (status === 0) requests.aborted();
    else if (isStreamed) requests.untimed(status);
    else requests.answered(status, startedMs);
  });
  return exchange;
}
