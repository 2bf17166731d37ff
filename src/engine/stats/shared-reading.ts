// engine, stats: a reading that callers of about the same time share. While one is under way no other begins, so a host that is
// slow is asked once, however many wait.

import type { Clock } from '../../lib/clock.ts';

interface Begun<Result> {
  readonly atMs: number;
  readonly result: Promise<Result>;
  isOver: boolean;
}

export class SharedReading<Result> {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #keepMs: number;
  readonly #read: () => Promise<Result>;
  #last: Begun<Result> | null = null;

  /** A result is given out until it is this old. */
  constructor(clock: Pick<Clock, 'monotonicMs'>, keepMs: number, read: () => Promise<Result>) {
    this.#clock = clock;
    this.#keepMs = keepMs;
    this.#read = read;
  }

  /** Rejects as the reading does. A failure is given to those who wait for it, and not kept. */
  get(): Promise<Result> {
    const known = this.#last;
    const nowMs = this.#clock.monotonicMs();
    if (known !== null && (!known.isOver || nowMs - known.atMs < this.#keepMs)) return known.result;
    const begun = { atMs: nowMs, result: this.#read(), isOver: false };
    this.#last = begun;
    // Callers get the error from the promise itself.
    begun.result.then(
      () => {
        begun.isOver = true;
      },
      () => {
        if (this.#last === begun) this.#last = null;
      },
    );
    return begun.result;
  }
}
