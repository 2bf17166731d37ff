// engine, deployments: when a failed replica may be tried again. No clock: times are arguments.

export interface BackoffLimits {
  readonly minMs: number;
  readonly maxMs: number;
  readonly windowMs: number;
}

/** Failures by key. The pause doubles with each failure in the sliding window. A window without failures resets it. */
export class Backoff<Key> {
  readonly #limits: BackoffLimits;
  readonly #failures = new Map<Key, number[]>();

  constructor(limits: BackoffLimits) {
    this.#limits = limits;
  }

  /** Counts a failure. */
  failed(key: Key, nowMs: number): void {
    const recent = this.#recent(key, nowMs);
    // More failures do not prolong the pause.
    this.#failures.set(key, [...recent.slice(-31), nowMs]);
  }

  /** When the next try is due; 0 if there is no recent failure. */
  dueAtMs(key: Key, nowMs: number): number {
    const recent = this.#recent(key, nowMs);
    const last = recent.at(-1);
    if (last === undefined) return 0;
    const { minMs, maxMs } = this.#limits;
    return last + Math.min(maxMs, minMs * 2 ** (recent.length - 1));
  }

  /** Failures in the window, over all keys that `counts` takes. */
  total(nowMs: number, counts: (key: Key) => boolean): number {
    return [...this.#failures.keys()]
      .filter(counts)
      .reduce((sum, key) => sum + this.#recent(key, nowMs).length, 0);
  }

  /** Resets a key. */
  forget(key: Key): void {
    this.#failures.delete(key);
  }

  #recent(key: Key, nowMs: number): readonly number[] {
    const recent = (this.#failures.get(key) ?? []).filter(
      (at) => nowMs - at < this.#limits.windowMs,
    );
    if (recent.length === 0) this.#failures.delete(key);
    return recent;
  }
}
