// lib: time as a dependency, so that tests can hold it still.

import { uptime } from 'node:os';

export interface Clock {
  /** Wall clock, milliseconds since the epoch. It may be set at any time: for what is shown, and for nothing else. */
  readonly nowMs: () => number;
  /** Monotonic, milliseconds. For deadlines and durations. */
  readonly monotonicMs: () => number;
  /** Milliseconds since the host was booted, the same for every process: for how old one of them is. */
  readonly uptimeMs: () => number;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  uptimeMs: () => uptime() * 1000,
};

/** RFC 3339 in UTC with milliseconds, the only form in which times leave the daemon. */
export function toTimestamp(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
