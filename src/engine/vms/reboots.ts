// engine, vms: how often guests have rebooted lately: one that does so again and again is not launched for ever.

import { LIMITS } from '../../config.ts';

export class Reboots {
  readonly #byVm = new Map<number, readonly number[]>();

  /** Counts one reboot at this time of a monotonic clock. false: there were too many lately. */
  mayLaunchAgain(vmId: number, nowMs: number): boolean {
    const sinceMs = nowMs - LIMITS.rebootWindowMs;
    const lately = (this.#byVm.get(vmId) ?? []).filter((atMs) => atMs > sinceMs);
    const may = lately.length < LIMITS.rebootsMax;
    // Whoever starts it afterwards begins anew.
    if (may) this.#byVm.set(vmId, [...lately, nowMs]);
    else this.#byVm.delete(vmId);
    return may;
  }

  forget(vmId: number): void {
    this.#byVm.delete(vmId);
  }
}
