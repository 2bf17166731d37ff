// engine: ports of the host that lead to guests: held, in place before a guest is said to run, and gone
// when it ends. Who has which is port-claims' business, how packets get to a guest with an address the
// workers'; connections for one without are handed to its agent.

import type { Duplex } from 'node:stream';
import type { Logger } from '../../lib/log.ts';
import type { Forward, NetworkSpec } from '../network-ports.ts';
import type { AgentConnection, HostPort } from '../ports.ts';
import type { VmRecord } from '../records.ts';
import { untilUnused } from './drain.ts';
import { type ExposedPort, nameOf } from './exposed-ports.ts';
import { LostPorts } from './lost-ports.ts';
import {
  type Claim,
  type Member,
  PortClaims,
  type PortOwner,
  type Readiness,
} from './port-claims.ts';
import { type NamedPort, PortHolds } from './port-holds.ts';
import { Tunnels } from './tunnels.ts';

export interface ExposuresParts {
  readonly host: HostPort;
  readonly networkSpec: () => NetworkSpec;
  /** Connections through the agent of one VM at once. */
  readonly tunnelsMax: number;
  readonly readiness: Readiness & {
    subscribe(listener: (vmId: number) => void): () => void;
  };
  readonly agentOf: (vmId: number) => AgentConnection | null;
  /** A port that these VMs have lost to another program, or have again. */
  readonly tell: (
    type: 'HOST_PORT_LOST' | 'HOST_PORT_REGAINED',
    vmIds: readonly number[],
    message: string,
  ) => void;
  readonly log: Logger;
}

export class Exposures {
  readonly #parts: ExposuresParts;
  readonly #tunnels: Tunnels;
  readonly #claims: PortClaims;
  readonly #holds: PortHolds;
  readonly #lost: LostPorts;
  /** While it is there the kernel's rules stay as an earlier daemon left them. */
  #pause: { readonly over: Promise<void>; readonly end: () => void } | null = null;
  /** The kernel may have other rules than it should. */
  #dirty = false;
  /** What the kernel was told last; null while it is told something else, or did not take it. */
  #written: readonly Forward[] | null = null;
  #syncs = 0;

  constructor(parts: ExposuresParts) {
    this.#parts = parts;
    this.#tunnels = new Tunnels(parts.tunnelsMax, parts.log);
    this.#claims = new PortClaims(parts.readiness);
    this.#holds = new PortHolds(({ name, protocol, hostPort }) =>
      parts.host.holdPort(protocol, hostPort, (connection, idleMs) =>
        this.#serve(name, connection, idleMs),
      ),
    );
    const isWanted = (name: string) => this.#claims.get(name) !== undefined;
    this.#lost = new LostPorts(this.#holds, isWanted, (port) => this.#onRegained(port));
    parts.readiness.subscribe((vmId) => {
      if (!this.#claims.sharesPort(vmId)) return;
      void this.#syncOrLog('a shared port could not follow its replicas');
    });
  }

  /** PORT_TAKEN when one of the ports is another's. */
  refuseTaken(owner: PortOwner, ports: readonly ExposedPort[]): void {
    this.#claims.refuseTaken(owner, ports);
  }

  /** These ports and no others are the deployment's, whether it has replicas at the moment or not. */
  reserve(deployment: string, ports: readonly ExposedPort[]): void {
    this.#claims.reserve(deployment, ports);
  }

  /**
   * Gives VMs that an earlier daemon left running their ports again: they are theirs when this returns, and
   * held as far as they can be when it resolves. The kernel's rules stay as they are until `resume`. Never
   * rejects: a guest that lives is worth more than its port.
   */
  async restore(
    vms: readonly { readonly record: VmRecord; readonly ports: readonly ExposedPort[] }[],
  ): Promise<void> {
    this.#pause = pause();
    for (const { record, ports } of vms)
      this.#joinAgain(record, ports, record.status === 'running');
    await Promise.all(this.#claims.all().map((claim) => this.#holdAgain(claim)));
  }

  /**
   * From here on each change is written down in the kernel at once; so is what changed since `restore`, or
   * everything where `mayDiffer` says that the kernel may have rules of an earlier daemon.
   */
  async resume(mayDiffer: boolean): Promise<void> {
    const paused = this.#pause;
    this.#pause = null;
    try {
      if (mayDiffer || this.#dirty) await this.sync();
    } finally {
      paused?.end();
    }
  }

  /** Asks no more for ports that another program has. */
  close(): void {
    this.#lost.close();
  }

  /**
   * Gives a VM these ports and no others, and resolves when they lead to it. PORT_TAKEN,
   * HOST_OPERATION_FAILED: then it has those that it had before.
   */
  async set(record: VmRecord, ports: readonly ExposedPort[]): Promise<void> {
    const before = this.#claims.portsOf(record.id);
    if (ports.length === 0 && before.length === 0 && !this.#dirty) return;
    this.#claims.refuseTaken(record, ports);
    // Nothing waits between the question and the claim: of two that ask at once one gets the port.
    const claims = ports.map((exposed) => this.#claims.join(record, exposed));
    const had = new Set(before.map(nameOf));
    try {
      // A port that it had and that another program took is no reason to refuse a change of the others.
      const added = claims.filter(({ name }) => !had.has(name));
      await Promise.all(added.map((claim) => this.#holds.take(claim)));
      this.#claims.leaveAllBut(record.id, ports);
      await this.#pause?.over;
      await this.sync();
    } catch (error) {
      this.#joinAgain(record, before);
      this.#claims.leaveAllBut(record.id, before);
      await this.#syncOrLog('a change of host ports could not be taken back');
      throw error;
    }
  }

  /**
   * Nothing new reaches the VM from here on. Resolves when what is under way on shared ports has ended, at the
   * latest after LIMITS.balancedDrainMs, or when the signal aborts. Datagrams have no end that could be waited for.
   */
  async drain(vmId: number, signal: AbortSignal): Promise<void> {
    const shared = this.#claims
      .membersOf(vmId)
      .filter(({ protocol, member }) => member.shared && protocol === 'tcp')
      .map(({ member }) => member);
    await this.clear(vmId);
    if (shared.length > 0) await untilUnused(() => this.#connectionsTo(vmId, shared), signal);
  }

  /**
   * Takes all ports of a VM away. None is fine. What the kernel did not take is tried again with the next
   * change; no other program gets the port before.
   */
  async clear(vmId: number): Promise<void> {
    this.#tunnels.hasEnded(vmId);
    if (this.#claims.portsOf(vmId).length === 0 && !this.#dirty) return;
    this.#claims.leaveAllBut(vmId, []);
    await this.#syncOrLog('the host ports of a VM that ends could not be taken away');
  }

  /** Connections to host ports that no guest took, since the daemon was started. */
  get losses() {
    return this.#tunnels.losses;
  }

  /** What the kernel should lead to guests, as it was told; null while that changes. */
  get forwards(): readonly Forward[] | null {
    return this.#written;
  }

  /** Tells the kernel again what it did not take. */
  async retry(): Promise<void> {
    if (this.#dirty && this.#pause === null) await this.sync();
  }

  /** Writes down in the kernel what stands here: ports that are held, and no others. */
  async sync(): Promise<void> {
    this.#dirty = true;
    this.#written = null;
    if (this.#pause !== null) return;
    const sync = ++this.#syncs;
    const forwards = this.#claims
      .all()
      .filter(({ name }) => this.#holds.isHeld(name))
      .map((claim) => this.#forwardOf(claim));
    const isFree = (name: string) => this.#claims.get(name) === undefined;
    const free = this.#holds.names().filter(isFree);
    this.#dirty = false;
    try {
      await this.#parts.host.setForwards(this.#parts.networkSpec(), forwards);
    } catch (error) {
      this.#dirty = true;
      throw error;
    }
    // Of those under way at the same time the last one counts.
    if (sync === this.#syncs) this.#written = forwards;
    // Not before: a rule that is still there would lead another program's connections to a guest.
    for (const name of free) if (isFree(name)) this.#holds.release(name);
  }

  async #connectionsTo(vmId: number, members: readonly Member[]): Promise<number | null> {
    const throughAgent = this.#tunnels.count(vmId);
    const targets = members.flatMap(({ address, port }) =>
      address === null ? [] : [{ address, port }],
    );
    if (throughAgent > 0 || targets.length === 0) return throughAgent;
    try {
      return await this.#parts.host.countConnections(targets);
    } catch (error) {
      this.#parts.log.warn({ id: vmId, err: error }, 'connections could not be counted');
      return null;
    }
  }

  async #syncOrLog(problem: string): Promise<void> {
    try {
      await this.sync();
    } catch (error) {
      this.#parts.log.error({ err: error }, problem);
    }
  }

  #forwardOf(claim: Claim): Forward {
    const { protocol, hostPort } = claim;
    const targets = this.#claims
      .takersOf(claim)
      .flatMap(({ address, port }) => (address === null ? [] : [{ address, port }]));
    return { protocol, hostPort, targets };
  }

  /** A connection that came to the port itself: for a guest without an address, or for nobody. */
  #serve(name: string, connection: Duplex, idleMs: (() => number) | null): boolean {
    const claim = this.#claims.get(name);
    if (claim === undefined) return false;
    const takers = this.#claims.takersOf(claim).filter(({ address }) => address === null);
    const member = takers[claim.turn++ % Math.max(1, takers.length)];
    if (member === undefined) return false;
    const agent = this.#parts.agentOf(member.vmId);
    const target = { protocol: claim.protocol, port: member.port };
    if (agent === null) {
      this.#tunnels.refused(member.vmId, target);
      return false;
    }
    return this.#tunnels.begin(member.vmId, agent, target, connection, idleMs);
  }

  /** What a VM had before. A port that is another's by now is lost. */
  #joinAgain(record: VmRecord, ports: readonly ExposedPort[], wasReady = false): void {
    for (const exposed of ports) {
      try {
        this.#claims.join(record, exposed, wasReady);
      } catch (error) {
        this.#parts.log.error({ vm: record.name, err: error }, 'a host port was lost');
      }
    }
  }

  async #holdAgain(claim: Claim): Promise<void> {
    try {
      await this.#holds.take(claim);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#parts.tell('HOST_PORT_LOST', [...claim.members.keys()], why);
      this.#lost.add(claim);
    }
  }

  #onRegained({ name }: NamedPort): void {
    const members = [...(this.#claims.get(name)?.members.keys() ?? [])];
    this.#parts.tell('HOST_PORT_REGAINED', members, `Host port ${name} is held again`);
    void this.#syncOrLog('a host port could not be put back');
  }
}

function pause() {
  let end: () => void = () => undefined;
  const over = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { over, end: () => end() };
}
