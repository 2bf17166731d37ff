// client: one call over HTTP: URL, headers, timeout, retries, errors. The operations are in the files of their groups.

import { VERSION } from '../lib/version.ts';
import { ApiError, ConnectionError, RequestTimeoutError, toApiError } from './errors.ts';
import type { FetchInit } from './fetch.ts';
import { type RetryPolicy, withRetry } from './retry.ts';
import { type Endpoint, IS_BROWSER } from './transport.ts';

/** Options that every method takes. */
export interface CallOptions {
  readonly signal?: AbortSignal;
  /** From sending the request to the end of the answer; overrides the client's timeout. */
  readonly timeoutMs?: number;
}

type QueryValue = string | number | boolean | readonly string[] | undefined;
export type Query = Readonly<Record<string, QueryValue>>;

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  /** Lists are joined with commas; undefined values are left out. */
  readonly query?: Query;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent unchanged. */
  readonly body?: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;
  /** `manual`: a redirect is returned as an answer. */
  readonly redirect?: 'manual';
  readonly options?: CallOptions | undefined;
}

export interface HttpOptions {
  readonly endpoint: Endpoint;
  readonly apiKey: string | undefined;
  readonly timeoutMs: number;
  readonly retry: RetryPolicy;
  /** The daemon refuses unknown members and parameters. */
  readonly strict: boolean;
}

/** The path of a request. Each value becomes one segment, whatever characters it has. */
export function path(parts: TemplateStringsArray, ...values: readonly string[]): string {
  return parts.reduce((before, part, index) => `${before}${segment(values[index - 1])}${part}`);
}

function segment(value = ''): string {
  // No URL can contain these as names: URL parsers remove them, and the request would mean something else.
  if (value === '' || value === '.' || value === '..') {
    throw new TypeError(`${JSON.stringify(value)} cannot be a name in a path`);
  }
  return encodeURIComponent(value);
}

export class Http {
  readonly endpoint: Endpoint;
  readonly retry: RetryPolicy;
  readonly #apiKey: string | undefined;
  /** The bound of a call that has none of its own, and of making a connection. */
  readonly timeoutMs: number;
  readonly #strict: boolean;

  constructor({ endpoint, apiKey, timeoutMs, retry, strict }: HttpOptions) {
    this.endpoint = endpoint;
    this.retry = retry;
    this.#apiKey = apiKey;
    this.timeoutMs = timeoutMs;
    this.#strict = strict;
  }

  /** Headers of every request. */
  headers(): Record<string, string> {
    const key = this.#apiKey === undefined ? {} : { Authorization: `Bearer ${this.#apiKey}` };
    // A browser sets its own User-Agent, and setting one here would cause a preflight request.
    return IS_BROWSER ? key : { 'User-Agent': `volant-client/${VERSION}`, ...key };
  }

  /** The JSON of the answer. It is not checked against the type of the contract. */
  async json<T>(call: Call): Promise<T> {
    return (await this.exchange(call, async (response) => JSON.parse(await response.text()))) as T;
  }

  /** For answers whose body is not needed. */
  async done(call: Call): Promise<void> {
    await this.exchange(call, (response) => response.text());
  }

  /** Sends a request, and reads the answer within the timeout of the call. Retries where that is safe. */
  async exchange<T>(given: Call, read: (response: Response) => Promise<T>): Promise<T> {
    const isStrict = this.#strict && given.json !== undefined;
    const call = isStrict ? { ...given, query: { ...given.query, strict: true } } : given;
    const repeatable = call.method === 'GET' || call.headers?.['Idempotency-Key'] !== undefined;
    return withRetry(this.retry, repeatable, call.options?.signal, async () => {
      const bound = new Bound(call.options?.timeoutMs ?? this.timeoutMs, call.options?.signal);
      try {
        const response = await this.#fetch(call, { signal: bound.signal, whole: true });
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
   * Sends a request, and returns the answer when its head has arrived; the timeout ends there, too. Never retries. An error
   * status is a normal answer here: see toApiError.
   */
  async open(call: Call): Promise<Response> {
    const bound = new Bound(call.options?.timeoutMs ?? this.timeoutMs, call.options?.signal);
    try {
      const response = await this.#fetch(call, { signal: bound.signal });
      bound.clearTimer();
      return whenRead(response, () => bound.clear());
    } catch (error) {
      bound.clear();
      throw this.#explain(error, bound, call.options?.signal);
    }
  }

  #fetch(call: Call, how: Pick<FetchInit, 'signal' | 'whole'>): Promise<Response> {
    const { endpoint } = this;
    const query = toSearch(call.query ?? {});
    const body = call.json === undefined ? call.body : JSON.stringify(call.json);
    const contentType = call.json === undefined ? {} : { 'Content-Type': 'application/json' };
    const init: FetchInit = {
      method: call.method,
      headers: { ...this.headers(), ...contentType, ...call.headers },
      ...how,
      ...(body === undefined ? {} : { body }),
      ...(body instanceof ReadableStream ? { duplex: 'half' } : {}),
      ...(call.redirect === undefined ? {} : { redirect: call.redirect }),
    };
    return endpoint.fetch(endpoint.httpOrigin + call.path + query, init);
  }

  #explain(error: unknown, bound: Bound, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted) return signal.reason;
    if (bound.expired) return new RequestTimeoutError(bound.timeoutMs);
    if (error instanceof ApiError || !isConnectionTrouble(error)) return error;
    return new ConnectionError(`${this.endpoint.baseUrl} cannot be reached`, error);
  }
}

/** fetch rejects with a TypeError, which has a cause in Node and none in browsers; node:http with an error that has a code. */
export function isConnectionTrouble(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  if (error instanceof TypeError) return error.cause !== undefined || IS_BROWSER;
  return 'code' in error && typeof error.code === 'string';
}

/** The same answer. `release` is called when its body was read, broke or was cancelled, or at once if it has none. */
function whenRead(response: Response, release: () => void): Response {
  if (response.body === null) {
    release();
    return response;
  }
  const reader = response.body.getReader();
  const body = new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        try {
          const { done, value } = await reader.read();
          if (!done) return controller.enqueue(value);
          release();
          controller.close();
        } catch (error) {
          release();
          throw error;
        }
      },
      cancel: (reason) => {
        release();
        return reader.cancel(reason);
      },
    },
    // Nothing is read before it is asked for.
    { highWaterMark: 0 },
  );
  const { status, statusText, headers } = response;
  return new Response(body, { status, statusText, headers });
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

/** Joins the caller's signal and a timer in one signal. clear() releases both. */
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
