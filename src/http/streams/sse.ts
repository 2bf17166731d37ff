// http, streams: Server-Sent Events. A reader is a cursor in the event log: the number of the last event that was sent to
// it. A reader whose socket is full is skipped, and continues from its cursor later. So no event is lost silently, and
// unread events cost no memory.

import { LIMITS } from '../../config/limits.ts';
import type { EventApi } from '../../engine/engine-api.ts';
import type { EventBody, StoredEvent } from '../../engine/records.ts';
import { type Clock, toTimestamp } from '../../lib/clock.ts';
import { VolantError } from '../../lib/errors.ts';
import { RESYNC } from '../../schema/event.ts';
import { type Caller, seesEvent } from '../access/callers.ts';
import type { Exchange } from '../exchange/exchange.ts';
import { utf8 } from '../uws.ts';
import { beginEvents } from './event-answer.ts';

export interface EventFilter {
  /** Empty means any. */
  readonly names: readonly string[];
  readonly types: readonly string[];
  readonly deployments: readonly string[];
  /** Only events of VMs. */
  readonly vmsOnly: boolean;
}

/** How events are written to a stream. */
export interface StreamFormat {
  /** Sent at once, so that a client knows that it is connected before the first event. */
  readonly opening: string;
  /** Empty if none of the events is for the reader. */
  render(events: readonly StoredEvent[]): string;
  /** Written instead of events up to this number, which are gone; `body` says so. */
  resync(sequence: number, body: EventBody): string;
  /** Written when the daemon ends the stream. */
  readonly closing: string;
}

export interface StreamLimits {
  readonly streamsMax: number;
  readonly heartbeatMs: number;
  readonly stallMs: number;
  readonly batchMax: number;
}

export const STREAM_LIMITS: StreamLimits = {
  streamsMax: LIMITS.eventStreamsMax,
  heartbeatMs: LIMITS.eventHeartbeatMs,
  stallMs: LIMITS.eventStallMs,
  batchMax: LIMITS.eventBatchMax,
};

interface Reader {
  readonly exchange: Exchange;
  readonly form: StreamFormat;
  readonly caller: Caller;
  readonly release: () => void;
  cursor: number;
  /** When the socket became full; null while it is writable. */
  blockedSinceMs: number | null;
  lastWriteMs: number;
  /** true: a long replay is sent in batches, and this reader waits for its next batch. */
  waitsForTurn: boolean;
}

/** How many readers are served before other work of the main thread gets its turn. */
const READERS_PER_TURN = 200;

/** How many rendered events are cached: the newest are sent to many readers. */
const RENDERED_MAX = 1024;

export class EventStreams {
  readonly #events: EventApi;
  readonly #clock: Clock;
  readonly #limits: StreamLimits;
  readonly #readers = new Set<Reader>();
  readonly #rendered = new Map<number, string>();
  readonly #unsubscribe: () => void;
  readonly #timer: NodeJS.Timeout;
  #fanOut: Iterator<Reader> | null = null;
  #again = false;

  constructor(events: EventApi, clock: Clock, limits: StreamLimits = STREAM_LIMITS) {
    this.#events = events;
    this.#clock = clock;
    this.#limits = limits;
    this.#unsubscribe = events.subscribe(() => this.#wake());
    this.#timer = setInterval(() => this.#tick(), limits.heartbeatMs / 3).unref();
  }

  get size(): number {
    return this.#readers.size;
  }

  /** Answers with a stream of the events after number `after`; of future events if undefined. */
  open(exchange: Exchange, caller: Caller, filter: EventFilter, after: number | undefined): void {
    const render = (events: readonly StoredEvent[]) =>
      events
        .filter((event) => matches(event, filter))
        .map((event) => this.#render(event))
        .join('');
    this.openAs(
      exchange,
      caller,
      { opening: ': connected\n\n', render, resync: frame, closing: '' },
      after,
    );
  }

  /** Like open() with another format, which gets only events that the caller may see. */
  openAs(exchange: Exchange, caller: Caller, form: StreamFormat, after: number | undefined): void {
    if (this.#readers.size >= this.#limits.streamsMax) {
      const why = `At most ${this.#limits.streamsMax} event streams may be open`;
      throw new VolantError('OVERLOADED', why, { retryAfterSeconds: 5 });
    }
    const nowMs = this.#clock.monotonicMs();
    const reader: Reader = {
      exchange,
      form,
      caller,
      release: beginEvents(exchange, form.opening),
      cursor: after ?? this.#events.lastSequence(),
      blockedSinceMs: null,
      lastWriteMs: nowMs,
      waitsForTurn: false,
    };
    exchange.onAborted(() => this.#readers.delete(reader));
    this.#readers.add(reader);
    this.#serve(reader);
  }

  /** Ends the streams of one caller whose key is no longer valid. */
  endOf(caller: Caller): void {
    for (const reader of [...this.#readers]) if (reader.caller === caller) this.#end(reader);
  }

  /** Ends every stream. Clients reconnect with the number of their last event. */
  close(): void {
    this.#unsubscribe();
    clearInterval(this.#timer);
    for (const reader of [...this.#readers]) this.#end(reader);
  }

  /** Serves all readers, a bounded number in each turn. A call during a round starts another round after it. */
  #wake(): void {
    if (this.#fanOut !== null) {
      this.#again = true;
      return;
    }
    this.#fanOut = this.#readers.values();
    this.#round();
  }

  #round(): void {
    for (let served = 0; served < READERS_PER_TURN; served += 1) {
      const next = this.#fanOut?.next();
      if (next === undefined || next.done === true) {
        this.#fanOut = null;
        if (this.#again) {
          this.#again = false;
          this.#wake();
        }
        return;
      }
      if (next.value.blockedSinceMs === null) this.#serve(next.value);
    }
    setImmediate(() => this.#round());
  }

  /** Sends one batch of the events after the reader's cursor. More events are sent in a later turn. */
  #serve(reader: Reader): void {
    if (reader.waitsForTurn || !reader.exchange.open) return;
    this.#resyncIfGone(reader);
    const batch = this.#events.after(reader.cursor, this.#limits.batchMax);
    const last = batch.at(-1);
    if (last === undefined) return;
    const { caller, form } = reader;
    const seen = caller.prefix === '' ? batch : batch.filter(({ body }) => seesEvent(caller, body));
    const text = seen.length === 0 ? '' : form.render(seen);
    reader.cursor = last.sequence;
    if (text !== '' && !this.#write(reader, text)) return;
    if (batch.length < this.#limits.batchMax) return;
    reader.waitsForTurn = true;
    setImmediate(() => {
      reader.waitsForTurn = false;
      if (reader.blockedSinceMs === null) this.#serve(reader);
    });
  }

  /**
   * The events after the cursor may have been discarded, or the cursor may be ahead of the log. The reader gets a RESYNC in
   * both cases.
   */
  #resyncIfGone(reader: Reader): void {
    const oldest = this.#events.oldestSequence();
    const newest = this.#events.lastSequence();
    const before = reader.cursor;
    if (before + 1 >= oldest && before <= newest) return;
    reader.cursor = before > newest ? newest : oldest - 1;
    const message =
      before > newest
        ? `There is no event ${before} yet; going on after ${newest}`
        : `Events ${before + 1} to ${oldest - 1} are gone; going on with ${oldest}`;
    const timestamp = toTimestamp(this.#clock.nowMs());
    const body = { type: RESYNC, name: '', status: '', timestamp, message };
    const text = reader.form.resync(reader.cursor, body);
    if (text !== '') this.#write(reader, text);
  }

  /** false if the reader's socket is full: it is served again when it drains. */
  #write(reader: Reader, text: string): boolean {
    const { response } = reader.exchange;
    let taken = true;
    response.cork(() => {
      taken = response.write(utf8(text));
    });
    reader.lastWriteMs = this.#clock.monotonicMs();
    if (taken) return true;
    if (reader.blockedSinceMs === null) this.#serveWhenWritable(reader);
    reader.blockedSinceMs = reader.lastWriteMs;
    return false;
  }

  #serveWhenWritable(reader: Reader): void {
    reader.exchange.response.onWritable(() => {
      reader.blockedSinceMs = null;
      // The server continues to drain its buffer only if something is written in this callback.
      this.#write(reader, ': more\n\n');
      if (reader.blockedSinceMs === null) this.#serve(reader);
      return true;
    });
  }

  #tick(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const reader of [...this.#readers]) {
      const { blockedSinceMs, lastWriteMs } = reader;
      if (blockedSinceMs !== null) {
        if (nowMs - blockedSinceMs >= this.#limits.stallMs) this.#cutOff(reader);
      } else if (nowMs - lastWriteMs >= this.#limits.heartbeatMs * (2 / 3)) {
        this.#write(reader, ': heartbeat\n\n');
      }
    }
  }

  #end(reader: Reader): void {
    this.#readers.delete(reader);
    if (!reader.exchange.open) return;
    const { response } = reader.exchange;
    reader.release();
    response.cork(() => response.end(utf8(reader.form.closing)));
  }

  /** The server would keep its buffer as long as a reader that reads nothing stays connected. */
  #cutOff(reader: Reader): void {
    this.#readers.delete(reader);
    if (reader.exchange.open) reader.exchange.response.close();
  }

  #render(event: StoredEvent): string {
    const known = this.#rendered.get(event.sequence);
    if (known !== undefined) return known;
    const text = frame(event.sequence, event.body);
    this.#rendered.set(event.sequence, text);
    if (this.#rendered.size > RENDERED_MAX) {
      const [oldest] = this.#rendered.keys();
      if (oldest !== undefined) this.#rendered.delete(oldest);
    }
    return text;
  }
}

function matches({ body }: StoredEvent, filter: EventFilter): boolean {
  if (filter.vmsOnly && !body.type.startsWith('VM_')) return false;
  const has = (wanted: readonly string[], value: string | undefined) =>
    wanted.length === 0 || (value !== undefined && wanted.includes(value));
  return (
    has(filter.names, body.name) &&
    has(filter.types, body.type) &&
    has(filter.deployments, body.deployment)
  );
}

function frame(sequence: number, body: StoredEvent['body']): string {
  return `id: ${sequence}\nevent: ${body.type}\ndata: ${JSON.stringify(body)}\n\n`;
}
