// engine, deployments: when a replica that failed may be tried again. Pure but for its memory: times
// come from the caller.

export interface BackoffLimits {
  readonly minMs: number;
  readonly maxMs: number;
  readonly windowMs: number;
}

/** Failures by key. The pause doubles with each failure in the sliding window, and a quiet window forgets all. */
export class Backoff<Key> {
  readonly #limits: BackoffLimits;
  readonly #failures = new Map<Key, number[]>();

  constructor(limits: BackoffLimits) {
    this.#limits = limits;
  }

  failed(key: Key, nowMs: number): void {
    const recent = this.#recent(key, nowMs);
    // More than these change nothing: the pause is at its longest.
    this.#failures.set(key, [...recent.slice(-31), nowMs]);
  }

  /** When the next try is due; 0 for what has not failed lately. */
  dueAtMs(key: Key, nowMs: number): number {
    const recent = this.#recent(key, nowMs);
    const last = recent.at(-1);
    if (last === undefined) return 0;
    const { minMs, maxMs } = this.#limits;
    return last + Math.min(maxMs, minMs * 2 ** (recent.length - 1));
  }

  /** Failures in the window, over all keys. */
  total(nowMs: number): number {
    return [...this.#failures.keys()].reduce(
      (sum, key) => sum + this.#recent(key, nowMs).length,
      0,
    );
  }

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
