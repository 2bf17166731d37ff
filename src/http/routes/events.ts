// http, routes: event streams.

import { OTHER_EVENT_TYPES, RESYNC, VM_EVENT_TYPES } from '../../schema/event.ts';
import { Query, throwProblemsOf } from '../exchange/query.ts';
import type { StreamHandler } from '../handlers.ts';

const OF_VMS = [...VM_EVENT_TYPES, RESYNC] as const;
const OF_ALL = [...VM_EVENT_TYPES, ...OTHER_EVENT_TYPES, RESYNC] as const;

const stream =
  (vmsOnly: boolean): StreamHandler =>
  ({ caller, streams }, head, exchange) => {
    const lastEventId = head.headers['last-event-id'] ?? '';
    const query = new Query(head.query);
    // Last-Event-ID is the position of a reader that reconnects. It overrides the start position in the URL.
    const resumed = new Query(`Last-Event-ID=${encodeURIComponent(lastEventId)}`);
    const first = query.count('after');
    const after = lastEventId === '' ? first : resumed.count('Last-Event-ID');
    const filter = {
      vmsOnly,
      names: query.list('name'),
      types: query.capitals('type', vmsOnly ? OF_VMS : OF_ALL),
      deployments: query.list('deployment'),
    };
    throwProblemsOf(query, resumed);
    streams.open(exchange, caller, filter, after);
  };

export const eventRoutes = {
  streamVMEvents: { stream: stream(true) },
  streamEvents: { stream: stream(false) },
} as const;
