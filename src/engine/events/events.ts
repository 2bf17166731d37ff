// engine, events: the event log as readers see it. The newest events are in memory, older ones are read from the store.
// How events are sent is up to http.

import { toTimestamp } from '../../lib/clock.ts';
import type { OTHER_EVENT_TYPES, VM_EVENT_TYPES } from '../../schema/event.ts';
import type { EventApi } from '../engine-api.ts';
import type { StorePort } from '../ports/store-ports.ts';
import type { Cause, EventBody, StoredEvent, VmRecord } from '../records.ts';
import { requestIn } from './cause.ts';

export type OtherEventType = (typeof OTHER_EVENT_TYPES)[number];

/**
 * An event about something else than a VM. `status` names the new state. No cause means that no request asked for it.
 */
export function otherEvent(
  type: OtherEventType,
  subject: { readonly name: string; readonly status: string; readonly deployment?: string },
  atMs: number,
  message?: string,
  cause?: Cause,
): EventBody {
  return {
    type,
    ...subject,
    timestamp: toTimestamp(atMs),
    ...(message === undefined ? {} : { message }),
    ...requestIn(cause),
  };
}

export type VmEventType = (typeof VM_EVENT_TYPES)[number];

/** An event about a VM's new state. No cause means that no request asked for it. */
export function vmEvent(
  type: VmEventType,
  record: VmRecord,
  message?: string,
  cause?: Cause,
): EventBody {
  return {
    type,
    name: record.name,
    status: record.status,
    ...(record.leases.ipAddress === null ? {} : { ip_address: record.leases.ipAddress }),
    mac_address: record.leases.macAddress,
    ...(record.process === null ? {} : { pid: record.process.pid }),
    timestamp: toTimestamp(record.updatedAtMs),
    ...(message === undefined ? {} : { message }),
    ...(record.replica === undefined ? {} : { deployment: record.replica.deployment }),
    ...requestIn(cause),
  };
}

type Listener = (events: readonly StoredEvent[]) => void;

export class EventLog implements EventApi {
  readonly #store: StorePort;
  readonly #ringMax: number;
  readonly #listeners = new Set<Listener>();
  /** Consecutive events; the last one has number #last. */
  #ring: StoredEvent[] = [];
  #last: number;

  constructor(store: StorePort, lastSequence: number, ringMax: number) {
    this.#store = store;
    this.#ringMax = ringMax;
    this.#last = lastSequence;
  }

  /** Adds events that are on disk. Called in commit order. */
  append(events: readonly StoredEvent[]): void {
    if (events.length === 0) return;
    this.#ring.push(...events);
    this.#last = events.at(-1)?.sequence ?? this.#last;
    // Trimmed rarely and by half: one shift per event would move the whole array each time.
    if (this.#ring.length > this.#ringMax * 2) this.#ring = this.#ring.slice(-this.#ringMax);
    for (const listener of this.#listeners) listener(events);
  }

  lastSequence(): number {
    return this.#last;
  }

  oldestSequence(): number {
    return this.#store.oldestSequence();
  }

  after(sequence: number, limit: number): readonly StoredEvent[] {
    const first = this.#ring[0]?.sequence;
    if (first === undefined || sequence + 1 < first) {
      return this.#store
        .eventsAfter(sequence, limit)
        .filter((event) => event.sequence <= this.#last);
    }
    const start = sequence + 1 - first;
    return this.#ring.slice(start, start + limit);
  }

  page(sequence: number, limit: number) {
    const events = this.after(sequence, limit);
    return { events, nextAfter: events.at(-1)?.sequence ?? Math.min(sequence, this.#last) };
  }

  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
