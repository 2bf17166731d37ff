// http, streams: answers that wait for something. Each wait ends when its client disconnects, when the client's key becomes
// invalid, and, unless it is work that has begun, when the daemon ends.

import type { Caller } from '../access/callers.ts';
import type { Exchange } from '../exchange/exchange.ts';

/** Signals that end a wait. */
export interface WaitSignals {
  /** Aborted when the client no longer waits for the answer. */
  readonly gone: AbortSignal;
  /** Aborted then, and when the daemon ends: an answer that only waits for time is sent at once. */
  readonly ending: AbortSignal;
}

interface Wait {
  readonly caller: Caller;
  readonly gone: AbortController;
  readonly ending: AbortController;
}

export class Waits {
  readonly #waits = new Set<Wait>();

  /** Runs `answer`. Its signals are aborted if it must end early. */
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
