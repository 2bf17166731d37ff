// ui, data: the client of the API, with the key of this user. Everything that the dashboard asks the daemon goes through
// `api()`. What a page shows of the answers is kept by vm-store.ts and resource.ts.

import { signal } from '@preact/signals';
import { createClient, type VolantClient } from '../../src/client/client.ts';
import { toApiError } from '../../src/client/errors.ts';
import type { Fetch } from '../../src/client/fetch.ts';
import { forget, type Keep, store, stored } from '../base/storage.ts';

/** `refused`: the daemon needs a key, and the one that it got, if any, is wrong or has expired. */
export type Session = 'asking' | 'open' | 'refused';

const KEY_NAME = 'volant-api-key';

/** The dashboard is at /ui/ of the daemon, maybe behind a prefix of a proxy: the API is beside it. */
const BASE_URL = new URL('..', document.baseURI).href.replace(/\/$/, '');

export const session = signal<Session>('asking');

let apiKey = stored(KEY_NAME);

const guardedFetch: Fetch = async (url, init) => {
  const response = await fetch(url, { ...init, cache: 'no-store' });
  if (response.status === 401) session.value = 'refused';
  return response;
};

/** A browser cannot send headers with a WebSocket, so the key is in the query. */
class KeyedWebSocket extends WebSocket {
  constructor(url: string) {
    const keyed = new URL(url);
    if (apiKey !== null) keyed.searchParams.set('api_key', apiKey);
    super(keyed);
  }
}

function connect(): VolantClient {
  const key = apiKey === null ? {} : { apiKey };
  return createClient({
    baseUrl: BASE_URL,
    fetch: guardedFetch,
    WebSocket: KeyedWebSocket,
    ...key,
  });
}

let client = connect();

export const api = (): VolantClient => client;

/**
 * Reads what the client has no method for: operations that a daemon may have or not. Rejects with ApiError; its code is
 * ROUTE_NOT_FOUND if the daemon has no such operation.
 */
export async function readJson<T>(path: string, signal: AbortSignal): Promise<T> {
  const headers = apiKey === null ? {} : { Authorization: `Bearer ${apiKey}` };
  const response = await guardedFetch(BASE_URL + path, { method: 'GET', headers, signal });
  if (!response.ok) throw await toApiError(response);
  return (await response.json()) as T;
}

export const hasKey = (): boolean => apiKey !== null;

export function signIn(key: string, keep: Keep): void {
  forget(KEY_NAME);
  store(KEY_NAME, key, keep);
  apiKey = key;
  client = connect();
  session.value = 'asking';
}

export function signOut(): void {
  forget(KEY_NAME);
  apiKey = null;
  client = connect();
  session.value = 'asking';
}
