// ui, data: events of the time before this tab, which the daemon has stored. They are read once, by a stream that ends when
// it has nothing more to tell; what happens from then on comes from event-feed.ts.

import type { EventFilter, VolantEvent } from '../../src/client/types.ts';
import { api } from './api.ts';
import { recentEvents } from './event-feed.ts';
import { type Resource, useResource } from './resource.ts';

/** As many as are kept of the time before, the newest of them. */
const PAST_MAX = 1_000;
/** Stored events come without a pause, so a pause is their end. */
const QUIET_MS = 400;
const READING_MS_MAX = 10_000;

async function readPastEvents(
  filter: EventFilter,
  signal: AbortSignal,
): Promise<readonly VolantEvent[]> {
  const found: VolantEvent[] = [];
  const ending = new AbortController();
  const end = () => ending.abort();
  signal.addEventListener('abort', end, { once: true });
  const deadline = setTimeout(end, READING_MS_MAX);
  let quiet: ReturnType<typeof setTimeout> | undefined;
  const heard = () => {
    clearTimeout(quiet);
    quiet = setTimeout(end, QUIET_MS);
  };
  try {
    const stored = api().events.all({
      ...filter,
      after: 0,
      signal: ending.signal,
      reconnectsMax: 0,
      onState: heard,
    });
    for await (const event of stored) {
      heard();
      if (event.type !== 'RESYNC') found.push(event);
      if (found.length > 2 * PAST_MAX) found.splice(0, PAST_MAX);
    }
    return found.slice(-PAST_MAX);
  } finally {
    clearTimeout(quiet);
    clearTimeout(deadline);
    signal.removeEventListener('abort', end);
  }
}

/**
 * Stored events that the filter accepts, and live ones that `fits` accepts, oldest first, each once. The filter must be the
 * same as long as `key` is.
 */
export function useEvents(
  key: string,
  filter: EventFilter,
  fits: (event: VolantEvent) => boolean,
): readonly [Resource<readonly VolantEvent[]>, () => void] {
  const [past, reload] = useResource(
    `events ${key}`,
    (signal) => readPastEvents(filter, signal),
    () => false,
  );
  const live = recentEvents.value.filter(fits);
  if (past.state !== 'ready') return [past, reload];
  const known = new Set(past.value.map(({ id }) => id));
  const added = live.filter(({ id }) => !known.has(id));
  return [{ state: 'ready', value: [...past.value, ...added] }, reload];
}
