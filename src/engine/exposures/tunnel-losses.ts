// engine: connections to host ports that no guest took: counted, and logged once for each VM and reason, then at most
// once in a while with their number. Their clients see nothing but a reset.

import { LIMITS } from '../../config.ts';
import type { Logger } from '../../lib/log.ts';
import type { GuestPort } from '../network-ports.ts';

/** full: the agent has as many as it may have. unanswered: nobody in the guest took it. */
export type TunnelLoss = 'full' | 'unanswered';

interface Told {
  atMs: number;
  /** Since then. */
  untold: number;
}

const MESSAGES: Readonly<Record<TunnelLoss, string>> = {
  full: 'connections to a host port were refused: the guest has as many as it may have (VOLANT_GUEST_CONNECTIONS_MAX)',
  unanswered: 'connections to a host port were refused: nothing in the guest took them',
};

export class TunnelLosses {
  readonly #log: Logger;
  readonly #counts = { full: 0, unanswered: 0 };
  readonly #byVm = new Map<number, Partial<Record<TunnelLoss, Told>>>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Since the daemon was started. */
  get counts(): Readonly<Record<TunnelLoss, number>> {
    return { ...this.#counts };
  }

  /** `why`: what the agent said; null where it was not asked. */
  note(vmId: number, target: GuestPort, loss: TunnelLoss, why: unknown, nowMs: number): void {
    this.#counts[loss] += 1;
    const told = this.#byVm.get(vmId) ?? {};
    this.#byVm.set(vmId, told);
    const last = told[loss];
    if (last !== undefined && nowMs - last.atMs < LIMITS.refusalLogIntervalMs) {
      last.untold += 1;
      return;
    }
    told[loss] = { atMs: nowMs, untold: 0 };
    const connections = 1 + (last?.untold ?? 0);
    this.#log.warn({ id: vmId, ...target, connections, err: why ?? undefined }, MESSAGES[loss]);
  }

  /** The next loss of this VM is the first of another launch. */
  forget(vmId: number): void {
    this.#byVm.delete(vmId);
  }
}
