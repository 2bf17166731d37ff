// engine: ports of the host that lead to guests: who has which, and where new connections go. A port
// belongs to one VM, or to a deployment whose ready replicas share it. How packets get to a guest with an
// address is the workers' business; connections for one without are handed to its agent.

import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { LIMITS } from '../config.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { type ExposedPort, nameOf } from './exposed-ports.ts';
import type { Forward, NetworkSpec } from './network-ports.ts';
import type { AgentConnection, HostPort } from './ports.ts';
import type { ReplicaOf, VmRecord } from './records.ts';
import { Tunnels } from './tunnels.ts';

/** Whose port it is, as a client knows it. */
export interface PortOwner {
  readonly name: string;
  readonly replica?: ReplicaOf | undefined;
}

interface Member {
  /** null: reached through its agent. */
  readonly address: string | null;
  readonly port: number;
  /** Ends the interest in its readiness; null where it does not matter. */
  readonly unwatch: (() => void) | null;
}

interface Claim {
  readonly exposed: ExposedPort;
  readonly owner: string;
  readonly members: Map<number, Member>;
  readonly held: Promise<{ release(): void }>;
  /** Connections handed to agents so far: the next one goes to the next guest. */
  turn: number;
}

export interface ExposuresParts {
  readonly host: HostPort;
  readonly networkSpec: () => NetworkSpec;
  readonly readiness: {
    watch(vmId: number): () => void;
    isReady(vmId: number): boolean;
    subscribe(listener: (vmId: number) => void): () => void;
  };
  readonly agentOf: (vmId: number) => AgentConnection | null;
  readonly log: Logger;
}

export class Exposures {
  readonly #parts: ExposuresParts;
  readonly #tunnels: Tunnels;
  readonly #claims = new Map<string, Claim>();

  constructor(parts: ExposuresParts) {
    this.#parts = parts;
    this.#tunnels = new Tunnels(parts.log);
    parts.readiness.subscribe((vmId) => {
      if (!this.#sharesPort(vmId)) return;
      this.sync().catch((error: unknown) => {
        parts.log.error({ id: vmId, err: error }, 'a shared port could not follow its replicas');
      });
    });
  }

  /** PORT_TAKEN when one of the ports is another's. */
  refuseTaken(owner: PortOwner, ports: readonly ExposedPort[]): void {
    const details: Record<string, string> = {};
    for (const exposed of ports) {
      const claim = this.#claims.get(nameOf(exposed));
      if (claim === undefined || claim.owner === ownerOf(owner, exposed)) continue;
      details[nameOf(exposed)] = `belongs to ${claim.owner}`;
    }
    const [port, why] = Object.entries(details)[0] ?? [];
    if (port === undefined) return;
    throw new VolantError('PORT_TAKEN', `Host port ${port} ${why}`, { details });
  }

  /**
   * Gives a VM these ports and no others, and resolves when they lead to it. PORT_TAKEN,
   * HOST_OPERATION_FAILED: then it has those that it had before.
   */
  async set(record: VmRecord, ports: readonly ExposedPort[]): Promise<void> {
    const { ipAddress } = record.leases;
    if (ports.length === 0 && !this.#has(record.id)) return;
    this.refuseTaken(record, ports);
    const before = this.#portsOf(record.id);
    try {
      await this.#replace(record, ipAddress, before, ports);
      await this.sync();
    } catch (error) {
      await this.#replace(record, ipAddress, ports, before);
      throw error;
    }
  }

  /** Nothing new reaches the VM from here on; what is under way on a shared port has a moment to end. */
  async drain(vmId: number): Promise<void> {
    const shared = this.#sharesPort(vmId);
    await this.clear(vmId);
    if (shared) await sleep(LIMITS.balancedDrainMs);
  }

  /** Takes all ports of a VM away. None is fine. */
  async clear(vmId: number): Promise<void> {
    if (!this.#has(vmId)) return;
    for (const exposed of this.#portsOf(vmId)) this.#leave(vmId, nameOf(exposed));
    await this.sync();
  }

  /** Writes down in the kernel what stands here. */
  sync(): Promise<void> {
    const forwards = [...this.#claims.values()].map((claim) => this.#forwardOf(claim));
    return this.#parts.host.setForwards(this.#parts.networkSpec(), forwards);
  }

  #forwardOf({ exposed, members }: Claim): Forward {
    const { protocol, hostPort } = exposed;
    const targets = this.#takersOf({ exposed, members }).flatMap(([, { address, port }]) =>
      address === null ? [] : [{ address, port }],
    );
    return { protocol, hostPort, targets };
  }

  /** Who gets new connections. */
  #takersOf({ exposed, members }: Pick<Claim, 'exposed' | 'members'>): [number, Member][] {
    const { readiness } = this.#parts;
    return [...members].filter(([vmId]) => !exposed.shared || readiness.isReady(vmId));
  }

  /** A connection that came to the port itself: for a guest without an address, or for nobody. */
  #serve(name: string, connection: Duplex, idleMs: (() => number) | null): boolean {
    const claim = this.#claims.get(name);
    if (claim === undefined) return false;
    const takers = this.#takersOf(claim).filter(([, { address }]) => address === null);
    const [vmId, member] = takers[claim.turn++ % Math.max(1, takers.length)] ?? [];
    if (vmId === undefined || member === undefined) return false;
    const agent = this.#parts.agentOf(vmId);
    if (agent === null) return false;
    const target = { protocol: claim.exposed.protocol, port: member.port };
    return this.#tunnels.begin(vmId, agent, target, connection, idleMs);
  }

  /** What is new comes first: when it cannot be had, nothing is given up. */
  async #replace(
    record: VmRecord,
    address: string | null,
    before: readonly ExposedPort[],
    after: readonly ExposedPort[],
  ): Promise<void> {
    for (const exposed of after) await this.#join(record, exposed, address);
    const kept = new Set(after.map(nameOf));
    for (const name of before.map(nameOf)) if (!kept.has(name)) this.#leave(record.id, name);
  }

  async #join(record: VmRecord, exposed: ExposedPort, address: string | null): Promise<void> {
    const name = nameOf(exposed);
    let claim = this.#claims.get(name);
    if (claim === undefined) {
      const { protocol, hostPort } = exposed;
      const held = this.#parts.host.holdPort(protocol, hostPort, (connection, idleMs) =>
        this.#serve(name, connection, idleMs),
      );
      claim = { exposed, owner: ownerOf(record, exposed), members: new Map(), held, turn: 0 };
      this.#claims.set(name, claim);
    }
    const unwatch =
      claim.members.get(record.id)?.unwatch ??
      (exposed.shared ? this.#parts.readiness.watch(record.id) : null);
    claim.members.set(record.id, { address, port: exposed.port, unwatch });
    await claim.held;
  }

  #leave(vmId: number, name: string): void {
    const claim = this.#claims.get(name);
    const member = claim?.members.get(vmId);
    if (claim === undefined || member === undefined) return;
    member.unwatch?.();
    claim.members.delete(vmId);
    if (claim.members.size > 0) return;
    this.#claims.delete(name);
    // One that could not be held has nothing to release; whoever asked for it was told.
    claim.held.then((held) => held.release()).catch(() => undefined);
  }

  #portsOf(vmId: number): readonly ExposedPort[] {
    return [...this.#claims.values()].flatMap(({ exposed, members }) => {
      const member = members.get(vmId);
      return member === undefined ? [] : [{ ...exposed, port: member.port }];
    });
  }

  #has(vmId: number): boolean {
    return [...this.#claims.values()].some(({ members }) => members.has(vmId));
  }

  #sharesPort(vmId: number): boolean {
    return [...this.#claims.values()].some(
      ({ exposed, members }) => exposed.shared && members.has(vmId),
    );
  }
}

function ownerOf({ name, replica }: PortOwner, { shared }: ExposedPort): string {
  return shared && replica !== undefined ? `deployment ${replica.deployment}` : `VM ${name}`;
}
