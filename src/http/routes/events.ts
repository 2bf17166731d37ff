// http, routes: event streams.

import { OTHER_EVENT_TYPES, RESYNC, VM_EVENT_TYPES } from '../../schema/event.ts';
import type { StreamHandler } from '../handlers.ts';
import { Query } from '../query.ts';

const OF_VMS = [...VM_EVENT_TYPES, RESYNC] as const;
const OF_ALL = [...VM_EVENT_TYPES, ...OTHER_EVENT_TYPES, RESYNC] as const;

const stream =
  (vmsOnly: boolean): StreamHandler =>
  ({ caller, streams }, head, exchange) => {
    const lastEventId = head.headers['last-event-id'] ?? '';
    const query = new Query(head.query);
    // A reader that comes back says what it saw last; that counts more than where it first began.
    const resumed = new Query(`Last-Event-ID=${encodeURIComponent(lastEventId)}`);
    const after = lastEventId === '' ? query.count('after') : resumed.count('Last-Event-ID');
    const filter = {
      vmsOnly,
      names: query.list('name'),
      types: query.capitals('type', vmsOnly ? OF_VMS : OF_ALL),
      deployments: query.list('deployment'),
    };
    query.throwProblems();
    resumed.throwProblems();
    streams.open(exchange, caller, filter, after);
  };

export const eventRoutes = {
  streamVMEvents: { stream: stream(true) },
  streamEvents: { stream: stream(false) },
} as const;
