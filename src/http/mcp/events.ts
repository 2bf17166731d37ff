// http, mcp: one page of the event log, for a tool and for a resource.

import type { EventApi } from '../../engine/engine-api.ts';
import type { EventBody } from '../../engine/records.ts';

export interface EventPage {
  readonly events: readonly ({ readonly sequence: number } & EventBody)[];
  /** The value of `after` for the next page. */
  readonly next_after: number;
  readonly last_sequence: number;
  /** How many of the requested events were discarded already; absent if none. */
  readonly lost?: number;
}

/** Events after a number, oldest first; the newest events if no number is given. */
export function listEvents(events: EventApi, after: number | undefined, limit: number): EventPage {
  const last = events.lastSequence();
  const oldest = events.oldestSequence();
  const from = after ?? Math.max(last - limit, oldest - 1, 0);
  const page = events.page(from, limit);
  const lost = Math.min(oldest - 1, last) - from;
  return {
    events: page.events.map(({ sequence, body }) => ({ sequence, ...body })),
    next_after: page.nextAfter,
    last_sequence: last,
    ...(lost > 0 ? { lost } : {}),
  };
}
