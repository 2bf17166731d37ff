// lib: how fast a line moves, and so when who is sent away should come back. Pure: the time is given.

/** Ends are forgotten by halves: what counts is the pace of the last five to ten seconds that something waited. */
const WINDOW_MS = 10_000;

/** So long the line is thought to move at the pace that it is given at first, and less and less while it is measured. */
const GUESS_MS = 1_000;

/**
 * Measures a line while something waits in it: the pace of a line that is empty says how much comes, not how much
 * it could carry out. Times are of a monotonic clock; what an amount is, its owner decides.
 */
export class DrainRate {
  readonly #secondsMax: number;
  readonly #guessPerSecond: number;
  #fullMs = 0;
  #ended = 0;
  /** null while nothing waits. */
  #sinceMs: number | null = null;

  /** `secondsMax` bounds what is answered: also when nothing moves, somebody must look again. */
  constructor(secondsMax: number, guessPerSecond: number) {
    this.#secondsMax = secondsMax;
    this.#guessPerSecond = guessPerSecond;
  }

  /** Something waits from now on; nothing new where that is known. */
  full(nowMs: number): void {
    this.#sinceMs ??= nowMs;
  }

  /** Nothing waits any more. */
  empty(nowMs: number): void {
    this.#pass(nowMs);
    this.#sinceMs = null;
  }

  /** So much of the line is done. */
  ended(nowMs: number, amount = 1): void {
    if (this.#sinceMs === null) return;
    this.#pass(nowMs);
    this.#ended += amount;
    if (this.#fullMs < WINDOW_MS) return;
    this.#fullMs /= 2;
    this.#ended /= 2;
  }

  /** Whole seconds until so much of the line is done, at least 1, if it goes on as it went lately. */
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
