// ui, data: what one page reads of the API: it is read when the page opens, when the stream of events restarts, and after
// each event that concerns it.

import { useEffect, useState } from 'preact/hooks';
import type { VolantEvent } from '../../src/client/types.ts';
import { subscribe } from './event-feed.ts';

export type Resource<T> =
  | { readonly state: 'loading' }
  | { readonly state: 'ready'; readonly value: T }
  | { readonly state: 'failed'; readonly error: Error };

/** Events that come together cause one reading. */
const SETTLE_MS = 150;

/**
 * Reads with `load` as long as the component is shown, and again after events that `concerns` accepts. `key` tells one
 * resource from the other: when it changes, the former value is dropped. The value stays while it is read again; an error
 * takes its place.
 */
export function useResource<T>(
  key: string,
  load: (signal: AbortSignal) => Promise<T>,
  concerns: (event: VolantEvent) => boolean,
): readonly [Resource<T>, () => void] {
  const [resource, setResource] = useState<Resource<T>>({ state: 'loading' });
  const [reload, setReload] = useState(() => () => {});
  useEffect(() => {
    setResource({ state: 'loading' });
    let reading: AbortController | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let hasFailed = false;
    const read = async () => {
      reading?.abort();
      const own = new AbortController();
      reading = own;
      try {
        const value = await load(own.signal);
        if (own.signal.aborted) return;
        hasFailed = false;
        setResource({ state: 'ready', value });
      } catch (error) {
        if (own.signal.aborted) return;
        hasFailed = true;
        const failure = error instanceof Error ? error : new Error(String(error));
        setResource({ state: 'failed', error: failure });
      }
    };
    const readSoon = () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        void read();
      }, SETTLE_MS);
    };
    // A stream that is open says so at once, and this is read now anyway.
    let isSubscribed = false;
    const end = subscribe({
      onResync: () => {
        if (isSubscribed) readSoon();
      },
      onEvent: (event) => {
        if (concerns(event)) readSoon();
      },
      onReopen: () => {
        if (hasFailed) readSoon();
      },
    });
    isSubscribed = true;
    setReload(() => () => void read());
    void read();
    return () => {
      end();
      clearTimeout(timer);
      reading?.abort();
    };
  }, [key]);
  return [resource, reload];
}
