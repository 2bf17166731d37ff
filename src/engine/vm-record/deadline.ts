// engine, vm-record: deadlines of VMs. Within one boot of the host they are measured by its uptime, so that setting the clock
// deletes no VM early or late. Only the time of day outlives a boot. Pure.

import type { Clock } from '../../lib/clock.ts';
import type { Deadline } from '../records.ts';

/** `nowMs`: of the wall clock, as the record has it for the change. */
export function deadlineIn(seconds: number, nowMs: number, clock: Clock): Deadline {
  const leftMs = seconds * 1000;
  return {
    atMs: nowMs + leftMs,
    uptimeMs: clock.uptimeMs() + leftMs,
    bootId: clock.bootId,
  };
}

/** Negative if it has passed; infinite without one. */
export function leftMs(deadline: Deadline | null | undefined, clock: Clock): number {
  if (deadline === null || deadline === undefined) return Number.POSITIVE_INFINITY;
  if (deadline.bootId === clock.bootId) return deadline.uptimeMs - clock.uptimeMs();
  return deadline.atMs - clock.nowMs();
}
