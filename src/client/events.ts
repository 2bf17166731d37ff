// client: events as an async iterator. After a lost connection, a new one resumes after the number of the last returned
// event, so that no event is lost or repeated.

import { ApiError, ConnectionError, toApiError } from './errors.ts';
import { type Http, isConnectionTrouble } from './http.ts';
import { pause } from './pause.ts';
import { backOffMs } from './retry.ts';
import { readServerSentEvents, type ServerSentEvent } from './sse.ts';
import type { EventFilter, VolantEvent } from './types.ts';

export interface StreamOptions extends EventFilter {
  readonly signal?: AbortSignal;
  /** Called each time the stream is open, and each time it was lost and will be retried. */
  readonly onState?: (state: StreamState) => void;
  /** Maximum number of consecutive failed reconnects, after the stream was open once; 10 by default. */
  readonly reconnectsMax?: number;
  /** The connection counts as lost after this much silence; the daemon sends data every 15 s. */
  readonly silenceMsMax?: number;
}

export type StreamState =
  | { readonly state: 'open' }
  | { readonly state: 'lost'; readonly error: Error; readonly pauseMs: number };

const RECONNECTS_MAX = 10;
const SILENCE_MS_MAX = 60_000;
const PAUSES = { pauseMs: 250, pauseMsMax: 10_000 };

export class Events {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /**
   * All events, until the caller leaves the loop or the signal aborts, which ends it without an error. The event RESYNC
   * means that events are gone: list the objects again, then continue. Rejects with ApiError if the daemon refuses, and
   * with ConnectionError if the stream cannot be restored.
   */
  all(options: StreamOptions = {}): AsyncGenerator<VolantEvent, void, undefined> {
    return stream(this.#http, '/api/v1/events', options);
  }

  /** Like all(), for events of VMs only. */
  vms(options: StreamOptions = {}): AsyncGenerator<VolantEvent, void, undefined> {
    return stream(this.#http, '/api/v1/events/vms', options);
  }
}

async function* stream(
  http: Http,
  path: string,
  options: StreamOptions,
): AsyncGenerator<VolantEvent, void, undefined> {
  const { signal, onState } = options;
  const cursor: Cursor = { last: options.after ?? null, seen: false };
  let wasOpen = false;
  for (let failures = 0; !signal?.aborted; ) {
    const connection = new Connection(http, path, options, cursor);
    try {
      const body = await connection.open();
      if (wasOpen && cursor.last === null) yield ownResync();
      [wasOpen, failures] = [true, 0];
      onState?.({ state: 'open' });
      yield* connection.read(body);
      throw new ConnectionError('The event stream ended');
    } catch (thrown) {
      if (signal?.aborted) return;
      const error = connection.explain(thrown);
      failures += 1;
      const most = wasOpen ? (options.reconnectsMax ?? RECONNECTS_MAX) : http.retry.attemptsMax - 1;
      if (failures > most || !mayComeBack(error)) throw error;
      const pauseMs = pauseBefore(error, failures);
      onState?.({ state: 'lost', error, pauseMs });
      await pause(pauseMs, signal);
    } finally {
      connection.close();
    }
  }
}

interface Cursor {
  /** Number of the last returned event, or the start position. */
  last: number | null;
  seen: boolean;
}

class Connection {
  readonly #http: Http;
  readonly #path: string;
  readonly #options: StreamOptions;
  readonly #cursor: Cursor;
  readonly #controller = new AbortController();
  readonly #onAbort = () => this.#controller.abort();
  readonly #silenceMsMax: number;
  #silence: ReturnType<typeof setTimeout> | undefined;
  #silent = false;

  constructor(http: Http, path: string, options: StreamOptions, cursor: Cursor) {
    this.#http = http;
    this.#path = path;
    this.#options = options;
    this.#cursor = cursor;
    this.#silenceMsMax = options.silenceMsMax ?? SILENCE_MS_MAX;
    options.signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  async open(): Promise<ReadableStream<Uint8Array>> {
    const { name, type, deployment } = this.#options;
    const { last, seen } = this.#cursor;
    const response = await this.#http.open({
      method: 'GET',
      path: this.#path,
      query: { name, type, deployment, after: seen || last === null ? undefined : last },
      headers: {
        Accept: 'text/event-stream',
        ...(seen ? { 'Last-Event-ID': String(last) } : {}),
      },
      options: { signal: this.#controller.signal },
    });
    if (response.status !== 200) throw await toApiError(response);
    if (response.body === null) throw new ConnectionError('The event stream has no body');
    return response.body;
  }

  async *read(body: ReadableStream<Uint8Array>): AsyncGenerator<VolantEvent, void, undefined> {
    this.#heard();
    for await (const event of readServerSentEvents(body, () => this.#heard())) {
      const id = numberOf(event);
      if (id !== null) {
        this.#cursor.last = id;
        this.#cursor.seen = true;
      }
      // While the caller has the event, nothing is read, and nothing can be heard.
      clearTimeout(this.#silence);
      yield { ...(JSON.parse(event.data) as Omit<VolantEvent, 'id'>), id };
      this.#heard();
    }
  }

  /** The error for what was thrown while this connection was made or read. */
  explain(thrown: unknown): Error {
    if (this.#silent) {
      return new ConnectionError(`The event stream was silent for ${this.#silenceMsMax} ms`);
    }
    if (thrown instanceof ApiError || thrown instanceof ConnectionError) return thrown;
    if (isConnectionTrouble(thrown)) return new ConnectionError('The event stream broke', thrown);
    return thrown instanceof Error ? thrown : new Error(String(thrown));
  }

  close(): void {
    clearTimeout(this.#silence);
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#controller.abort();
  }

  #heard(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      this.#silent = true;
      this.#controller.abort();
    }, this.#silenceMsMax);
  }
}

/** Without a number the stream cannot be resumed, so the reader gets a RESYNC, as the daemon would send. */
function ownResync(): VolantEvent {
  const message = 'The connection was lost before the first event; some may have been missed';
  const timestamp = new Date().toISOString();
  return { type: 'RESYNC', name: '', status: '', timestamp, message, id: null };
}

function numberOf({ id }: ServerSentEvent): number | null {
  return id !== undefined && /^\d{1,15}$/.test(id) ? Number(id) : null;
}

function mayComeBack(error: Error): boolean {
  return error instanceof ConnectionError || (error instanceof ApiError && error.status === 503);
}

function pauseBefore(error: Error, failures: number): number {
  const asked = error instanceof ApiError ? error.retryAfterSeconds : undefined;
  if (asked === undefined) return backOffMs(failures, PAUSES);
  return Math.min(asked * 1000, PAUSES.pauseMsMax);
}
