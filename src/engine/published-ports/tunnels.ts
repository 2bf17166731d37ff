// engine, published ports: the client connections that are passed through agents, by VM. An agent serves a bounded
// number of connections. A UDP flow has no end, so the longest idle one is closed if a new connection needs its place.

import type { Duplex } from 'node:stream';
import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { AgentConnection } from '../ports/hypervisor-ports.ts';
import type { GuestPort } from '../ports/network-ports.ts';
import { tunnel } from './tunnel.ts';
import { type TunnelLoss, TunnelLosses } from './tunnel-losses.ts';

interface Open {
  readonly connection: Duplex;
  /** null: the connection ends by itself. */
  readonly idleMs: (() => number) | null;
  /** Resolves when both sides are closed. Never rejects. */
  readonly ended: Promise<void>;
}

export class Tunnels {
  readonly #log: Logger;
  readonly #tunnelsMax: number;
  readonly #losses: TunnelLosses;
  readonly #open = new Map<number, Set<Open>>();

  /** `tunnelsMax` is the maximum number of connections for each VM. */
  constructor(tunnelsMax: number, log: Logger) {
    this.#tunnelsMax = tunnelsMax;
    this.#log = log;
    this.#losses = new TunnelLosses(log);
  }

  /** Refused connections since the daemon was started. */
  get losses(): Readonly<Record<TunnelLoss, number>> {
    return this.#losses.counts;
  }

  /**
   * Passes a connection to a guest. `idleMs` returns for how many ms nothing was sent on it, for flows without an end.
   * Returns false if the agent has the maximum number of connections and none of them is a flow.
   */
  begin(
    vmId: number,
    agent: AgentConnection,
    target: GuestPort,
    connection: Duplex,
    idleMs: (() => number) | null,
  ): boolean {
    const open = this.#open.get(vmId) ?? new Set<Open>();
    const evicted = open.size < this.#tunnelsMax ? null : longestIdle(open);
    if (evicted === undefined) {
      this.#lose(vmId, target, 'full', null);
      return false;
    }
    if (evicted !== null) {
      open.delete(evicted);
      evicted.connection.destroy();
    }
    // No other handler is attached while it waits; its error shows later in the tunnel.
    connection.on('error', () => undefined);
    const free = evicted?.ended ?? Promise.resolve();
    const ended = free
      .then(() => tunnel(connection, agent, target, (why) => this.#onRefused(vmId, target, why)))
      .catch((error: unknown) => {
        this.#log.debug({ id: vmId, ...target, err: error }, 'a connection failed');
      });
    const begun: Open = { connection, idleMs, ended };
    this.#open.set(vmId, open.add(begun));
    void ended.then(() => this.#forget(vmId, begun));
    return true;
  }

  /** The number of connections that end by themselves, without UDP flows. */
  count(vmId: number): number {
    return [...(this.#open.get(vmId) ?? [])].filter(({ idleMs }) => idleMs === null).length;
  }

  /** Counts a connection that could not be passed on, because the VM has no agent, or none yet. */
  refused(vmId: number, target: GuestPort): void {
    this.#lose(vmId, target, 'unanswered', null);
  }

  /** The VM has ended: losses of its next launch are logged from the first one. */
  hasEnded(vmId: number): void {
    this.#losses.forget(vmId);
  }

  #onRefused(vmId: number, target: GuestPort, why: unknown): void {
    const isFull = why instanceof VolantError && why.code === 'OVERLOADED';
    this.#lose(vmId, target, isFull ? 'full' : 'unanswered', why);
  }

  #lose(vmId: number, target: GuestPort, loss: TunnelLoss, why: unknown): void {
    this.#losses.note(vmId, target, loss, why, performance.now());
  }

  #forget(vmId: number, ended: Open): void {
    const open = this.#open.get(vmId);
    open?.delete(ended);
    if (open?.size === 0) this.#open.delete(vmId);
  }
}

/** The flow that was idle longest; undefined if every connection ends by itself. */
function longestIdle(open: ReadonlySet<Open>): Open | undefined {
  const idle = (each: Open) => each.idleMs?.() ?? -1;
  const [first] = [...open].sort((a, b) => idle(b) - idle(a));
  return first === undefined || first.idleMs === null ? undefined : first;
}
