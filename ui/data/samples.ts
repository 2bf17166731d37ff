// ui, data: figures that no event carries: they are read periodically while a page shows them and the window is visible.

import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError } from '../../src/client/errors.ts';

export interface Sample<T> {
  /** When it was read, by the clock of this browser. */
  readonly atMs: number;
  readonly value: T;
}

export interface Sampling<T> {
  /** Oldest first. */
  readonly samples: readonly Sample<T>[];
  /** Why the last reading failed; null if it did not. */
  readonly error: Error | null;
  /** Reads at once: something tells that there is something new. */
  readonly readNow: () => void;
}

type Read<T> = Pick<Sampling<T>, 'samples' | 'error'>;

const INTERVAL_MS = 2_000;
/** Ten minutes. */
const SAMPLES_MAX = 300;

/** true: the daemon is one that has no such operation, so there is no use in asking again. */
export const isUnknownRoute = (error: Error | null): boolean =>
  error instanceof ApiError && error.code === 'ROUTE_NOT_FOUND';

/** Reads every two seconds. `key` tells one source from the other: when it changes, the former samples are dropped. */
export function useSamples<T>(key: string, load: (signal: AbortSignal) => Promise<T>): Sampling<T> {
  const [state, setState] = useState<Read<T>>({ samples: [], error: null });
  const now = useRef(() => {});
  useEffect(() => {
    setState({ samples: [], error: null });
    const ending = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isReading = false;
    let isAskedAgain = false;
    const read = async () => {
      isReading = true;
      isAskedAgain = false;
      try {
        if (!document.hidden) {
          const value = await load(ending.signal);
          if (ending.signal.aborted) return;
          const sample = { atMs: Date.now(), value };
          setState(({ samples }) => ({
            samples: [...samples.slice(1 - SAMPLES_MAX), sample],
            error: null,
          }));
        }
      } catch (thrown) {
        if (ending.signal.aborted) return;
        const error = thrown instanceof Error ? thrown : new Error(String(thrown));
        setState(({ samples }) => ({ samples, error }));
        if (isUnknownRoute(error)) return;
      } finally {
        isReading = false;
      }
      timer = setTimeout(() => void read(), isAskedAgain ? 0 : INTERVAL_MS);
    };
    now.current = () => {
      isAskedAgain = true;
      if (isReading || ending.signal.aborted) return;
      clearTimeout(timer);
      void read();
    };
    void read();
    return () => {
      ending.abort();
      clearTimeout(timer);
    };
  }, [key]);
  return { ...state, readNow: () => now.current() };
}

/**
 * How much a counter grew by each second, for each sample. null where that is not known: the first one, and after a counter
 * that was reset. `secondsOf` is the clock of the one who counted.
 */
export function rates<T>(
  samples: readonly Sample<T>[],
  secondsOf: (value: T) => number | null,
  counterOf: (value: T) => number | null,
): readonly (number | null)[] {
  return samples.map(({ value }, index) => {
    const before = samples[index - 1]?.value;
    if (before === undefined) return null;
    const [from, to] = [counterOf(before), counterOf(value)];
    const [fromSeconds, toSeconds] = [secondsOf(before), secondsOf(value)];
    if (from === null || to === null || fromSeconds === null || toSeconds === null) return null;
    const seconds = toSeconds - fromSeconds;
    return seconds <= 0 || to < from ? null : (to - from) / seconds;
  });
}
