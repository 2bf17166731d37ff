// http: waits until something of the engine is so, for answers that tell of it then.

import type { EventApi } from '../engine/engine-api.ts';
import { VolantError } from '../lib/errors.ts';

/** What no event tells is seen so late. */
const LOOK_MS = 500;

export interface Patience {
  readonly timeoutMs: number;
  /** The daemon ends, or nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/**
 * Resolves with true as soon as `isSo`, with false when the time is over. Rejects with SHUTTING_DOWN when the signal is
 * aborted, and with whatever `isSo` throws.
 */
export function until(
  events: Pick<EventApi, 'subscribe'>,
  isSo: () => boolean,
  { timeoutMs, signal }: Patience,
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
