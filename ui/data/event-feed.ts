// ui, data: the one stream of events of this tab. It resumes where it left off, and says whether the dashboard is connected.
// Stores and pages subscribe; what an event means is theirs.

import { signal } from '@preact/signals';
import { ApiError } from '../../src/client/errors.ts';
import type { VolantEvent } from '../../src/client/types.ts';
import { api, session } from './api.ts';

export type Connection =
  | { readonly state: 'connecting' }
  | { readonly state: 'open' }
  | { readonly state: 'lost'; readonly reason: string; readonly sinceMs: number };

export interface EventReader {
  /** Everything must be read again: the stream is open for the first time, or events are gone. */
  onResync(): void;
  onEvent?(event: VolantEvent): void;
  /** The stream is open again and continues where it broke: what could not be read meanwhile can be read now. */
  onReopen?(): void;
}

/** Events that pages may show of the time before they were opened. */
const RECENT_MAX = 1_000;
/** The daemon sends something every 15 s. */
const SILENCE_MS_MAX = 40_000;
/** After a refusal that may pass, such as too many streams. */
const REFUSED_PAUSE_MS = 5_000;

export const connection = signal<Connection>({ state: 'connecting' });

/** The latest events, oldest first. A new array for each change. */
export const recentEvents = signal<readonly VolantEvent[]>([]);

const readers = new Set<EventReader>();
let running: AbortController | null = null;
let lastId: number | null = null;
let isSynced = false;

/** A reader that comes while the stream is open reads at once. Returns a function that ends it. */
export function subscribe(reader: EventReader): () => void {
  readers.add(reader);
  if (connection.peek().state === 'open') reader.onResync();
  return () => readers.delete(reader);
}

/** Opens the stream, again if it is open or waits. */
export function connectFeed(): void {
  running?.abort();
  running = new AbortController();
  void follow(running.signal);
}

/** Ends the stream. The next one starts from the beginning: it may be that of another key. */
export function disconnectFeed(): void {
  running?.abort();
  running = null;
  [lastId, isSynced] = [null, false];
  recentEvents.value = [];
  connection.value = { state: 'connecting' };
}

async function follow(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      const events = api().events.all({
        signal,
        reconnectsMax: Number.POSITIVE_INFINITY,
        silenceMsMax: SILENCE_MS_MAX,
        ...(lastId === null ? {} : { after: lastId }),
        onState: (news) => (news.state === 'open' ? opened() : lost(news.error.message)),
      });
      for await (const event of events) take(event);
      return;
    } catch (error) {
      if (signal.aborted) return;
      lost(error instanceof Error ? error.message : String(error));
      if (error instanceof ApiError && error.status === 401) return;
      await new Promise((resolve) => setTimeout(resolve, REFUSED_PAUSE_MS));
    }
  }
}

function opened(): void {
  connection.value = { state: 'open' };
  session.value = 'open';
  // Without a number there is nothing to resume after, so what happened meanwhile is not known.
  if (!isSynced || lastId === null) resync();
  else for (const reader of readers) reader.onReopen?.();
}

function lost(reason: string): void {
  const before = connection.peek();
  const sinceMs = before.state === 'lost' ? before.sinceMs : Date.now();
  connection.value = { state: 'lost', reason, sinceMs };
}

function resync(): void {
  isSynced = true;
  for (const reader of readers) reader.onResync();
}

function take(event: VolantEvent): void {
  if (event.id !== null) lastId = event.id;
  if (event.type === 'RESYNC') {
    resync();
    return;
  }
  recentEvents.value = [...recentEvents.peek().slice(1 - RECENT_MAX), event];
  for (const reader of readers) reader.onEvent?.(event);
}

window.addEventListener('online', () => {
  if (connection.peek().state === 'lost') connectFeed();
});
