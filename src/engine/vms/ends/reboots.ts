// engine, vms: counts recent reboots of each guest, so that a guest in a reboot loop is not launched forever.

import { LIMITS } from '../../../config/limits.ts';

export class Reboots {
  readonly #byVm = new Map<number, readonly number[]>();

  /** Counts one reboot at `nowMs` of a monotonic clock. Returns false if there were too many recently. */
  mayLaunchAgain(vmId: number, nowMs: number): boolean {
    const sinceMs = nowMs - LIMITS.rebootWindowMs;
    const recent = (this.#byVm.get(vmId) ?? []).filter((atMs) => atMs > sinceMs);
    const may = recent.length < LIMITS.rebootsMax;
    // The history is dropped here, so a later start by a user begins with an empty one.
    if (may) this.#byVm.set(vmId, [...recent, nowMs]);
    else this.#byVm.delete(vmId);
    return may;
  }

  /** Drops the history of a removed VM. */
  forget(vmId: number): void {
    this.#byVm.delete(vmId);
  }
}
