// http, routes: event streams.

import type { StreamHandler } from '../handlers.ts';
import { Query } from '../query.ts';

const streamEvents: StreamHandler = ({ streams }, head, exchange) => {
  const query = new Query(head.query);
  // A reader that comes back says what it saw last; that counts more than where it first began.
  const resumed = new Query(`Last-Event-ID=${encodeURIComponent(head.lastEventId)}`);
  const after = head.lastEventId === '' ? query.count('after') : resumed.count('Last-Event-ID');
  const filter = { names: query.list('name'), types: query.list('type') };
  query.throwProblems();
  resumed.throwProblems();
  streams.open(exchange, filter, after);
};

export const eventRoutes = { streamVMEvents: { stream: streamEvents } } as const;
