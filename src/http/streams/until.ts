// http, streams: waits until a condition on the engine's state holds, for answers that report it.

import type { EventApi } from '../../engine/engine-api.ts';
import { VolantError } from '../../lib/errors.ts';

/** The interval of polling, for changes without an event. */
const LOOK_MS = 500;

export interface UntilOptions {
  readonly timeoutMs: number;
  /** Aborted when the daemon ends, or when the client no longer waits for the answer. */
  readonly signal: AbortSignal;
}

/**
 * Resolves with true as soon as `isSo` returns true, with false after the timeout. Rejects with SHUTTING_DOWN when the
 * signal is aborted, and with whatever `isSo` throws.
 */
export function until(
  events: Pick<EventApi, 'subscribe'>,
  isSo: () => boolean,
  { timeoutMs, signal }: UntilOptions,
): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => {
      unsubscribe();
      clearInterval(ticks);
      clearTimeout(deadline);
      signal.removeEventListener('abort', stop);
      settle();
    };
    const stop = () => end(() => reject(new VolantError('SHUTTING_DOWN')));
    const look = () => {
      try {
        if (isSo()) end(() => resolve(true));
      } catch (error) {
        end(() => reject(error));
      }
    };
    const unsubscribe = events.subscribe(look);
    const ticks = setInterval(look, LOOK_MS);
    const deadline = setTimeout(() => end(() => resolve(false)), timeoutMs);
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    else look();
  });
}
