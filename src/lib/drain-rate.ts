// lib: how fast a line moves, and so when who is sent away should come back. Pure: the time is given.

/** Ends that are older count less and less, and not at all after twice this. */
const WINDOW_MS = 10_000;

/** Counts what leaves a line. */
export class DrainRate {
  readonly #secondsMax: number;
  #firstMs: number | null = null;
  #windowStartMs = 0;
  #inWindow = 0;
  #inWindowBefore = 0;

  /** `secondsMax` bounds what is answered: also when nothing moves, somebody must look again. */
  constructor(secondsMax: number) {
    this.#secondsMax = secondsMax;
  }

  /** One of the line is done. Times are of a monotonic clock. */
  ended(nowMs: number): void {
    this.#firstMs ??= nowMs;
    this.#roll(nowMs);
    this.#inWindow += 1;
  }

  /** Whole seconds until so many of the line are done, at least 1, if it goes on as it went lately. */
  secondsFor(waiting: number, nowMs: number): number {
    this.#roll(nowMs);
    const sinceStartMs = nowMs - this.#windowStartMs;
    const endedLately = this.#inWindow + this.#inWindowBefore * (1 - sinceStartMs / WINDOW_MS);
    if (endedLately <= 0) return this.#secondsMax;
    const lifeMs = Math.max(1, nowMs - (this.#firstMs ?? nowMs));
    const perMs = endedLately / Math.min(WINDOW_MS, lifeMs);
    return Math.min(Math.max(1, Math.ceil(waiting / perMs / 1000)), this.#secondsMax);
  }

  #roll(nowMs: number): void {
    const windows = Math.floor((nowMs - this.#windowStartMs) / WINDOW_MS);
    if (windows < 1) return;
    this.#inWindowBefore = windows === 1 ? this.#inWindow : 0;
    this.#inWindow = 0;
    this.#windowStartMs += windows * WINDOW_MS;
  }
}
