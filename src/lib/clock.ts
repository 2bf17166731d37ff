// lib: time as a dependency, so that tests can control it.

import { readFileSync } from 'node:fs';
import { uptime } from 'node:os';

export interface Clock {
  /** Wall clock in milliseconds since the epoch. It may be set at any time, so it is for display only. */
  readonly nowMs: () => number;
  /** Monotonic, milliseconds. For deadlines and durations. */
  readonly monotonicMs: () => number;
  /** Milliseconds since the boot of the host, the same for every process: for the age of a process. */
  readonly uptimeMs: () => number;
  /** Which boot that is. */
  readonly bootId: string;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  uptimeMs: () => uptime() * 1000,
  get bootId() {
    return bootId();
  },
};

let knownBootId: string | undefined;

/** The random id of the host's current boot. It cannot change while this process lives. */
export function bootId(): string {
  knownBootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return knownBootId;
}

/** Formats a time as RFC 3339 in UTC with milliseconds, the only form that leaves the daemon. */
export function toTimestamp(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
