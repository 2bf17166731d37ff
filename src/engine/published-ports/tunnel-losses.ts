// engine, published ports: counts connections to published ports that no guest accepted. Logs the first one of each VM
// and reason, then at most one line per interval with their number. Clients see only a reset.

import { LIMITS } from '../../config/limits.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { GuestPort } from '../ports/network-ports.ts';

/** full: the agent has the maximum number of connections. unanswered: nothing in the guest accepted it. */
export type TunnelLoss = 'full' | 'unanswered';

interface LastLog {
  atMs: number;
  /** Losses since then that were not logged. */
  unlogged: number;
}

const MESSAGES: Readonly<Record<TunnelLoss, string>> = {
  full: 'connections to a host port were refused: the guest has the maximum number of connections (VOLANT_GUEST_CONNECTIONS_MAX)',
  unanswered: 'connections to a host port were refused: nothing in the guest accepted them',
};

export class TunnelLosses {
  readonly #log: Logger;
  readonly #counts = { full: 0, unanswered: 0 };
  readonly #byVm = new Map<number, Partial<Record<TunnelLoss, LastLog>>>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Counts since the daemon was started. */
  get counts(): Readonly<Record<TunnelLoss, number>> {
    return { ...this.#counts };
  }

  /** Counts a lost connection. `why` is the agent's error; null if the agent was not asked. */
  note(vmId: number, target: GuestPort, loss: TunnelLoss, why: unknown, nowMs: number): void {
    this.#counts[loss] += 1;
    const logged = this.#byVm.get(vmId) ?? {};
    this.#byVm.set(vmId, logged);
    const last = logged[loss];
    if (last !== undefined && nowMs - last.atMs < LIMITS.refusalLogIntervalMs) {
      last.unlogged += 1;
      return;
    }
    logged[loss] = { atMs: nowMs, unlogged: 0 };
    const connections = 1 + (last?.unlogged ?? 0);
    this.#log.warn({ id: vmId, ...target, connections, err: why ?? undefined }, MESSAGES[loss]);
  }

  /** Logs the next loss of this VM at once, because it belongs to another launch. */
  forget(vmId: number): void {
    this.#byVm.delete(vmId);
  }
}
