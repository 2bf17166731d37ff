// http: Server-Sent Events. A reader is a cursor on the event log: the number of the last event it was
// sent. When it cannot take more it is left alone and goes on from its cursor later, so nobody is
// skipped in silence and no reader costs memory for what it has not read.

import { LIMITS } from '../config.ts';
import type { EventApi } from '../engine/engine-api.ts';
import type { EventBody, StoredEvent } from '../engine/records.ts';
import { type Clock, toTimestamp } from '../lib/clock.ts';
import { VolantError } from '../lib/errors.ts';
import { RESYNC } from '../schema/event.ts';
import { type Caller, seesEvent } from './callers.ts';
import type { Exchange } from './exchange.ts';
import { utf8 } from './uws.ts';

export interface EventFilter {
  /** Empty means any. */
  readonly names: readonly string[];
  readonly types: readonly string[];
  readonly deployments: readonly string[];
  /** Only what happens to VMs, as on the contract's stream. */
  readonly vmsOnly: boolean;
}

/** How a stream tells its reader of events. */
export interface StreamForm {
  /** Sent at once, so that a client knows that it is connected before anything happens. */
  readonly opening: string;
  /** Empty when the reader has no use for any of them. */
  render(events: readonly StoredEvent[]): string;
  /** What the reader has not seen up to a number is gone; `body` says so. */
  resync(sequence: number, body: EventBody): string;
  /** Sent when the daemon ends the stream. */
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
  readonly form: StreamForm;
  readonly caller: Caller;
  readonly release: () => void;
  cursor: number;
  /** When it stopped taking data; null while it takes. */
  blockedSinceMs: number | null;
  lastWriteMs: number;
  /** A replay can be long: it is done in batches, between which others are served. */
  waitsForTurn: boolean;
}

/** Readers that are served before other work of the main thread gets its turn. */
const READERS_PER_TURN = 200;

/** How many rendered events are kept: the newest are sent to many readers. */
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

  /** Answers with a stream that begins after an event's number, or with what comes next. */
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

  /** The same in another form, which is given only what the caller may see. */
  openAs(exchange: Exchange, caller: Caller, form: StreamForm, after: number | undefined): void {
    if (this.#readers.size >= this.#limits.streamsMax) {
      const why = `At most ${this.#limits.streamsMax} event streams may be open`;
      throw new VolantError('OVERLOADED', why, { retryAfterSeconds: 5 });
    }
    const { response } = exchange;
    const nowMs = this.#clock.monotonicMs();
    const reader: Reader = {
      exchange,
      form,
      caller,
      release: exchange.handOver(),
      cursor: after ?? this.#events.lastSequence(),
      blockedSinceMs: null,
      lastWriteMs: nowMs,
      waitsForTurn: false,
    };
    exchange.onAborted(() => this.#readers.delete(reader));
    response.cork(() => {
      response.writeStatus('200 OK');
      response.writeHeader('Content-Type', 'text/event-stream');
      response.writeHeader('Cache-Control', 'no-cache');
      response.writeHeader('X-Accel-Buffering', 'no');
      for (const [name, value] of exchange.extraHeaders) response.writeHeader(name, value);
      response.write(utf8(form.opening));
    });
    this.#readers.add(reader);
    this.#serve(reader);
  }

  /** Ends the streams of one who may not ask any more. */
  endOf(caller: Caller): void {
    for (const reader of [...this.#readers]) if (reader.caller === caller) this.#end(reader);
  }

  /** Ends every stream; clients come back with the number of their last event. */
  close(): void {
    this.#unsubscribe();
    clearInterval(this.#timer);
    for (const reader of [...this.#readers]) this.#end(reader);
  }

  /** Serves all readers, some each turn. A call while a round is under way begins another after it. */
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

  /** Sends a batch of what comes after the reader's cursor. Of what is more it has a turn later. */
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

  /** What a reader has not seen may be gone for good, or never have been: it is told, not guessed. */
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

  /** false when the reader's socket is full: it is served again when it drains. */
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
      // The server only goes on draining what it has buffered when something is written in here.
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

  /** A reader that takes nothing would keep what the server has buffered for it. */
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
