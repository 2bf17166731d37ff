// client: one call over HTTP: URL, headers, bound, retries, errors. What the operations are called
// stands in the files of their groups.

import { VERSION } from '../lib/version.ts';
import { ApiError, ConnectionError, RequestTimeoutError, toApiError } from './errors.ts';
import { type RetryPolicy, withRetry } from './retry.ts';
import type { Endpoint, FetchInit } from './transport.ts';

const IS_BROWSER = !('process' in globalThis);

/** The global fetch of Node waits no longer for the head of an answer, whatever bound a call has. */
const FETCH_TIMEOUT_MS = 300_000;

/** Options that every method takes. */
export interface CallOptions {
  readonly signal?: AbortSignal;
  /** From sending until the whole answer is there, instead of the client's own bound. */
  readonly timeoutMs?: number;
}

type QueryValue = string | number | boolean | readonly string[] | undefined;
export type Query = Readonly<Record<string, QueryValue>>;

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  /** Lists are separated by commas; what is undefined is left out. */
  readonly query?: Query;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is. */
  readonly body?: string | Uint8Array<ArrayBuffer>;
  /** A redirect is given out as it is. */
  readonly redirect?: 'manual';
  readonly options?: CallOptions | undefined;
}

export interface HttpOptions {
  readonly endpoint: Endpoint;
  readonly apiKey: string | undefined;
  readonly timeoutMs: number;
  readonly retry: RetryPolicy;
  /** Members of a body and parameters that the daemon does not know are refused. */
  readonly strict: boolean;
}

/** Path of a request. Values become one segment each, whatever characters they have. */
export function path(parts: TemplateStringsArray, ...values: readonly string[]): string {
  return parts.reduce((before, part, index) => `${before}${segment(values[index - 1])}${part}`);
}

function segment(value = ''): string {
  // No URL can name these: they would be taken away, and the request would mean something else.
  if (value === '' || value === '.' || value === '..') {
    throw new TypeError(`${JSON.stringify(value)} cannot be a name in a path`);
  }
  return encodeURIComponent(value);
}

export class Http {
  readonly endpoint: Endpoint;
  readonly retry: RetryPolicy;
  readonly #apiKey: string | undefined;
  readonly #timeoutMs: number;
  readonly #strict: boolean;

  constructor({ endpoint, apiKey, timeoutMs, retry, strict }: HttpOptions) {
    this.endpoint = endpoint;
    this.retry = retry;
    this.#apiKey = apiKey;
    this.#timeoutMs = timeoutMs;
    this.#strict = strict;
  }

  /** What every request carries. */
  headers(): Record<string, string> {
    const key = this.#apiKey === undefined ? {} : { Authorization: `Bearer ${this.#apiKey}` };
    // A browser names itself, and would have to ask whether a page may send this.
    return IS_BROWSER ? key : { 'User-Agent': `volant-client/${VERSION}`, ...key };
  }

  /** The answer's JSON. It is trusted to have the type that the contract gives it. */
  async json<T>(call: Call): Promise<T> {
    return (await this.exchange(call, async (response) => JSON.parse(await response.text()))) as T;
  }

  /** For answers whose body says nothing. */
  async done(call: Call): Promise<void> {
    await this.exchange(call, (response) => response.text());
  }

  /** Sends, and reads the answer within the bound of the call. Asks again where that is safe. */
  async exchange<T>(given: Call, read: (response: Response) => Promise<T>): Promise<T> {
    const isStrict = this.#strict && given.json !== undefined;
    const call = isStrict ? { ...given, query: { ...given.query, strict: true } } : given;
    const repeatable = call.method === 'GET' || call.headers?.['Idempotency-Key'] !== undefined;
    return withRetry(this.retry, repeatable, call.options?.signal, async () => {
      const bound = new Bound(call.options?.timeoutMs ?? this.#timeoutMs, call.options?.signal);
      try {
        const response = await this.#fetch(call, bound.signal);
        if (response.status >= 300) throw await toApiError(response);
        return await read(response);
      } catch (error) {
        throw this.#explain(error, bound, call.options?.signal);
      } finally {
        bound.clear();
      }
    });
  }

  /**
   * Sends, and gives out the answer when its head is there; the bound ends there too. Never asks again.
   * An error status is an answer here: see toApiError.
   */
  async open(call: Call): Promise<Response> {
    const bound = new Bound(call.options?.timeoutMs ?? this.#timeoutMs, call.options?.signal);
    try {
      const response = await this.#fetch(call, bound.signal);
      bound.clearTimer();
      return response;
    } catch (error) {
      bound.clear();
      throw this.#explain(error, bound, call.options?.signal);
    }
  }

  #fetch(call: Call, signal: AbortSignal): Promise<Response> {
    const { endpoint } = this;
    const query = toSearch(call.query ?? {});
    const body = call.json === undefined ? call.body : JSON.stringify(call.json);
    const contentType = call.json === undefined ? {} : { 'Content-Type': 'application/json' };
    const init: FetchInit = {
      method: call.method,
      headers: { ...this.headers(), ...contentType, ...call.headers },
      signal,
      ...(body === undefined ? {} : { body }),
      ...(call.redirect === undefined ? {} : { redirect: call.redirect }),
    };
    return endpoint.fetch(endpoint.httpOrigin + call.path + query, init);
  }

  #explain(error: unknown, bound: Bound, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted) return signal.reason;
    if (bound.expired) return new RequestTimeoutError(bound.timeoutMs);
    if (error instanceof ApiError || !isConnectionTrouble(error)) return error;
    const trouble = new ConnectionError(`${this.endpoint.baseUrl} cannot be reached`, error);
    const gaveUp = trouble.code === 'UND_ERR_HEADERS_TIMEOUT';
    return gaveUp ? new RequestTimeoutError(FETCH_TIMEOUT_MS) : trouble;
  }
}

/** fetch rejects with a TypeError that has a cause, node:http with an error that has a code. */
export function isConnectionTrouble(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  if (error instanceof TypeError) return error.cause !== undefined;
  return 'code' in error && typeof error.code === 'string';
}

function toSearch(query: Query): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && (!Array.isArray(value) || value.length > 0)) {
      search.set(name, String(value));
    }
  }
  const text = search.toString();
  return text === '' ? '' : `?${text}`;
}

/** One abort signal out of the caller's and a timer, which do not outlive the call. */
class Bound {
  readonly timeoutMs: number;
  readonly #controller = new AbortController();
  readonly #timer: ReturnType<typeof setTimeout>;
  readonly #outer: AbortSignal | undefined;
  readonly #onAbort = () => this.#controller.abort(this.#outer?.reason);
  expired = false;

  constructor(timeoutMs: number, outer: AbortSignal | undefined) {
    this.timeoutMs = timeoutMs;
    this.#outer = outer;
    this.#timer = setTimeout(() => {
      this.expired = true;
      this.#controller.abort();
    }, timeoutMs);
    if (outer?.aborted) this.#onAbort();
    else outer?.addEventListener('abort', this.#onAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  clearTimer(): void {
    clearTimeout(this.#timer);
  }

  clear(): void {
    this.clearTimer();
    this.#outer?.removeEventListener('abort', this.#onAbort);
  }
}
