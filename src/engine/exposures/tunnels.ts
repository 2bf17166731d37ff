// engine: the connections of clients that are handed through agents, by VM. An agent serves few at once, so
// that a flow of datagrams, of which nobody says when it is over, makes room for what is new.

import type { Duplex } from 'node:stream';
import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import type { GuestPort } from '../network-ports.ts';
import type { AgentConnection } from '../ports.ts';
import { tunnel } from './tunnel.ts';
import { type TunnelLoss, TunnelLosses } from './tunnel-losses.ts';

interface Open {
  readonly connection: Duplex;
  /** null: it ends by itself. */
  readonly idleMs: (() => number) | null;
  /** Resolves when both of its sides are closed. Never rejects. */
  readonly ended: Promise<void>;
}

export class Tunnels {
  readonly #log: Logger;
  readonly #tunnelsMax: number;
  readonly #losses: TunnelLosses;
  readonly #open = new Map<number, Set<Open>>();

  /** So many at once for each VM. */
  constructor(tunnelsMax: number, log: Logger) {
    this.#tunnelsMax = tunnelsMax;
    this.#log = log;
    this.#losses = new TunnelLosses(log);
  }

  /** Connections that no guest took, since the daemon was started. */
  get losses(): Readonly<Record<TunnelLoss, number>> {
    return this.#losses.counts;
  }

  /**
   * Hands a connection to a guest; `idleMs` tells how long nobody has sent on it, where nothing else tells
   * its end. false when the agent has as many as it may have, and each of them has an end of its own.
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
    // Nobody else looks after it until there is room; what breaks it shows then.
    connection.on('error', () => undefined);
    const room = evicted?.ended ?? Promise.resolve();
    const ended = room
      .then(() => tunnel(connection, agent, target, (why) => this.#onRefused(vmId, target, why)))
      .catch((error: unknown) => {
        this.#log.debug({ id: vmId, ...target, err: error }, 'a connection was broken off');
      });
    const begun: Open = { connection, idleMs, ended };
    this.#open.set(vmId, open.add(begun));
    void ended.then(() => this.#forget(vmId, begun));
    return true;
  }

  /** Connections to a VM whose end can be waited for: flows of datagrams have none. */
  count(vmId: number): number {
    return [...(this.#open.get(vmId) ?? [])].filter(({ idleMs }) => idleMs === null).length;
  }

  /** A connection that nobody could be asked to take: there is no agent, or none yet. */
  refused(vmId: number, target: GuestPort): void {
    this.#lose(vmId, target, 'unanswered', null);
  }

  /** The VM has ended: what is lost of its next launch is news. */
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

/** undefined when all of them end by themselves. */
function longestIdle(open: ReadonlySet<Open>): Open | undefined {
  const idle = (each: Open) => each.idleMs?.() ?? -1;
  const [first] = [...open].sort((a, b) => idle(b) - idle(a));
  return first === undefined || first.idleMs === null ? undefined : first;
}
