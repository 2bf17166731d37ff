// http: answers that are held back until something happens. Each ends when its client goes, when the client's key is not good
// any more, and, unless it is work that was begun, when the daemon ends.

import type { Caller } from './callers.ts';
import type { Exchange } from './exchange.ts';

/** What an answer must end for. */
export interface WaitSignals {
  /** Nobody waits for the answer any more. */
  readonly gone: AbortSignal;
  /** The same, or the daemon ends: an answer that waits for nothing but time is given now. */
  readonly ending: AbortSignal;
}

interface Wait {
  readonly caller: Caller;
  readonly gone: AbortController;
  readonly ending: AbortController;
}

export class Waits {
  readonly #waits = new Set<Wait>();

  /** Runs `answer`, whose signals are aborted where it must end before it does by itself. */
  async during<T>(
    caller: Caller,
    exchange: Pick<Exchange, 'onAborted'>,
    answer: (signals: WaitSignals) => Promise<T>,
  ): Promise<T> {
    const wait = { caller, gone: new AbortController(), ending: new AbortController() };
    this.#waits.add(wait);
    exchange.onAborted(() => abort(wait));
    try {
      return await answer({ gone: wait.gone.signal, ending: wait.ending.signal });
    } finally {
      this.#waits.delete(wait);
    }
  }

  drain(): void {
    for (const { ending } of this.#waits) ending.abort();
  }

  endOf(caller: Caller): void {
    for (const wait of this.#waits) if (wait.caller === caller) abort(wait);
  }
}

function abort({ gone, ending }: Wait): void {
  gone.abort();
  ending.abort();
}
