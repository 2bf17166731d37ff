// lib, queues: measures the rate at which a queue drains, to compute Retry-After. Pure: the time is passed in.

/**
 * The counts are halved at this length, so the rate is that of the last five to ten seconds in which something
 * waited.
 */
const WINDOW_MS = 10_000;

/** Time for which the initial guess counts, less and less as measurements come in. */
const GUESS_MS = 1_000;

/**
 * Measures while something waits: an empty queue shows only the rate of arrivals, not that of the work. Times are of
 * a monotonic clock. The unit of an amount is the owner's choice.
 */
export class DrainRate {
  readonly #secondsMax: number;
  readonly #guessPerSecond: number;
  #fullMs = 0;
  #ended = 0;
  /** null while the queue is empty. */
  #sinceMs: number | null = null;

  /** `secondsMax` bounds the answers, also when nothing drains. `guessPerSecond` is the assumed initial rate. */
  constructor(secondsMax: number, guessPerSecond: number) {
    this.#secondsMax = secondsMax;
    this.#guessPerSecond = guessPerSecond;
  }

  /** Something waits from now on. Repeated calls have no effect. */
  full(nowMs: number): void {
    this.#sinceMs ??= nowMs;
  }

  /** The queue is empty from now on. */
  empty(nowMs: number): void {
    this.#pass(nowMs);
    this.#sinceMs = null;
  }

  /** This amount of work has ended. */
  ended(nowMs: number, amount = 1): void {
    if (this.#sinceMs === null) return;
    this.#pass(nowMs);
    this.#ended += amount;
    if (this.#fullMs < WINDOW_MS) return;
    this.#fullMs /= 2;
    this.#ended /= 2;
  }

  /** Returns the estimated time until this amount of work is done, in whole seconds, at least 1. */
  secondsFor(amount: number, nowMs: number): number {
    const fullMs = this.#fullMs + (this.#sinceMs === null ? 0 : nowMs - this.#sinceMs);
    const guessMs = Math.max(0, GUESS_MS - fullMs);
    const perMs = (this.#ended + (guessMs * this.#guessPerSecond) / 1000) / (fullMs + guessMs);
    if (perMs <= 0) return this.#secondsMax;
    return Math.min(Math.max(1, Math.ceil(amount / perMs / 1000)), this.#secondsMax);
  }

  #pass(nowMs: number): void {
    if (this.#sinceMs === null) return;
    this.#fullMs += nowMs - this.#sinceMs;
    this.#sinceMs = nowMs;
  }
}
