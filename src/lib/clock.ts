// lib: time as a dependency, so that tests can hold it still.

export interface Clock {
  /** Wall clock, milliseconds since the epoch. For records and events. */
  readonly nowMs: () => number;
  /** Monotonic, milliseconds. For deadlines and durations. */
  readonly monotonicMs: () => number;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

/** RFC 3339 in UTC with milliseconds, the only form in which times leave the daemon. */
export function toTimestamp(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
