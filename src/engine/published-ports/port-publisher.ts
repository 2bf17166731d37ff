// engine, published ports: host ports that lead to guests. They are held, in place before a guest counts as running,
// and removed when it ends. port-claims.ts decides who owns which port. The host's nftables rules forward to guests
// with an address; connections for other guests go through their agents (tunnels.ts).

import type { Duplex } from 'node:stream';
import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { AgentConnection } from '../ports/hypervisor-ports.ts';
import type { Forward, NetworkHost, NetworkSpec } from '../ports/network-ports.ts';
import type { VmRecord } from '../records.ts';
import { untilUnused } from './drain.ts';
import { LostPorts } from './lost-ports.ts';
import {
  type Backend,
  type Claim,
  PortClaims,
  type PortOwner,
  type Readiness,
} from './port-claims.ts';
import { type NamedPort, PortHolds } from './port-holds.ts';
import { nameOf, type PublishedPort } from './published-ports.ts';
import { Tunnels } from './tunnels.ts';

export interface PortPublisherParts {
  readonly host: Pick<NetworkHost, 'holdPort' | 'setForwards' | 'countConnections'>;
  readonly networkSpec: () => NetworkSpec;
  /** The maximum number of connections through the agent of one VM. */
  readonly tunnelsMax: number;
  readonly readiness: Readiness & {
    subscribe(listener: (vmId: number) => void): () => void;
  };
  readonly agentOf: (vmId: number) => AgentConnection | null;
  /** Reports that another program has taken a port of these VMs, or that the port is held again. */
  readonly report: (
    type: 'HOST_PORT_LOST' | 'HOST_PORT_REGAINED',
    vmIds: readonly number[],
    message: string,
  ) => void;
  readonly log: Logger;
}

export class PortPublisher {
  readonly #parts: PortPublisherParts;
  readonly #tunnels: Tunnels;
  readonly #claims: PortClaims;
  readonly #holds: PortHolds;
  readonly #lost: LostPorts;
  /** During recovery: the kernel keeps the rules of an earlier daemon until this ends. */
  #pause: { readonly over: Promise<void>; readonly end: () => void } | null = null;
  /** The kernel's rules may differ from the claims. */
  #dirty = false;
  /** The number of host ports that VMs have. */
  get portCount(): number {
    return this.#claims.size;
  }

  /** The forwards that the kernel has; null while they are changing or if the last change failed. */
  #written: readonly Forward[] | null = null;
  #syncs = 0;

  constructor(parts: PortPublisherParts) {
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
      void this.#syncOrLog('the backends of a shared port could not be updated');
    });
  }

  /** Throws PORT_TAKEN if one of the ports belongs to another owner. */
  refuseTaken(owner: PortOwner, ports: readonly PublishedPort[]): void {
    this.#claims.refuseTaken(owner, ports);
  }

  /**
   * Throws PORT_TAKEN if other programs have some of these ports. One that a VM of this daemon publishes is ignored:
   * `refuseTaken` says whose it is. The others are held for a moment, one after the other, because they may be many.
   */
  async requireFree(ports: readonly PublishedPort[]): Promise<void> {
    const details: Record<string, string> = {};
    for (const { protocol, hostPort } of ports) {
      const name = nameOf({ protocol, hostPort });
      if (this.#claims.get(name) !== undefined) continue;
      try {
        await this.#holds.take({ name, protocol, hostPort });
      } catch (error) {
        if (!(error instanceof VolantError) || error.code !== 'PORT_TAKEN') throw error;
        details[name] = error.message;
      }
      // A VM that got it in the meantime needs it held.
      if (this.#claims.get(name) === undefined) this.#holds.release(name);
    }
    const [first] = Object.values(details);
    if (first !== undefined) throw new VolantError('PORT_TAKEN', first, { details });
  }

  /** Reserves exactly these ports for a deployment, even while it has no replicas. */
  reserve(deployment: string, ports: readonly PublishedPort[]): void {
    this.#claims.reserve(deployment, ports);
  }

  /**
   * Restores the ports of VMs that an earlier daemon left running. The claims are made before this returns, and the
   * ports are held, as far as possible, when it resolves. The kernel's rules stay unchanged until `resume`. Never
   * rejects: a living guest matters more than its port.
   */
  async restore(
    vms: readonly { readonly record: VmRecord; readonly ports: readonly PublishedPort[] }[],
  ): Promise<void> {
    this.#pause = pause();
    for (const { record, ports } of vms)
      this.#joinAgain(record, ports, record.status === 'running');
    await Promise.all(this.#claims.all().map((claim) => this.#holdAgain(claim)));
  }

  /**
   * Ends the pause of `restore`: changes are applied to the kernel at once from now on, and those since `restore` now.
   * `mayDiffer` applies everything, because the kernel may have rules of an earlier daemon.
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

  /** Stops the retries for lost ports. */
  close(): void {
    this.#lost.close();
  }

  /**
   * Publishes exactly these ports of a VM, and resolves when they lead to it. Throws PORT_TAKEN or
   * HOST_OPERATION_FAILED; the VM then keeps its previous ports.
   */
  async set(record: VmRecord, ports: readonly PublishedPort[]): Promise<void> {
    const before = this.#claims.portsOf(record.id);
    if (ports.length === 0 && before.length === 0 && !this.#dirty) return;
    this.#claims.refuseTaken(record, ports);
    // Check and claims are synchronous, so of two callers at once only one gets the port.
    const claims = ports.map((published) => this.#claims.join(record, published));
    const had = new Set(before.map(nameOf));
    try {
      // A port that the VM had and another program took does not block a change of the other ports.
      const added = claims.filter(({ name }) => !had.has(name));
      await Promise.all(added.map((claim) => this.#holds.take(claim)));
      this.#claims.leaveAllBut(record.id, ports);
      await this.#pause?.over;
      await this.sync();
    } catch (error) {
      this.#joinAgain(record, before);
      this.#claims.leaveAllBut(record.id, before);
      await this.#syncOrLog('a failed change of published ports could not be undone');
      throw error;
    }
  }

  /**
   * Ends new connections to the VM, during recovery when that is over. Resolves when open connections to shared ports have
   * ended, after LIMITS.balancedDrainMs, or when the signal aborts, which is asked for if there are any. UDP flows have no
   * end, so they are not waited for.
   */
  async drain(vmId: number, signal: () => AbortSignal): Promise<void> {
    const shared = this.#claims
      .entriesOf(vmId)
      .filter(({ protocol, backend }) => backend.shared && protocol === 'tcp')
      .map(({ backend }) => backend);
    await this.clear(vmId);
    // A stop must not be answered while the kernel's rules still lead to the guest.
    await this.#pause?.over;
    if (shared.length > 0) await untilUnused(() => this.#connectionsTo(vmId, shared), signal());
  }

  /**
   * Unpublishes all ports of a VM. If the kernel cannot apply that, the next change retries it; no other program gets
   * the port before.
   */
  async clear(vmId: number): Promise<void> {
    this.#tunnels.hasEnded(vmId);
    if (this.#claims.portsOf(vmId).length === 0 && !this.#dirty) return;
    this.#claims.leaveAllBut(vmId, []);
    await this.#syncOrLog('the published ports of a VM that ends could not be removed');
  }

  /** Refused connections to published ports since the daemon was started. */
  get losses() {
    return this.#tunnels.losses;
  }

  /** The forwards that the kernel has; null while they are changing. */
  get forwards(): readonly Forward[] | null {
    return this.#written;
  }

  /** Retries a failed change of the kernel's rules. */
  async retry(): Promise<void> {
    if (this.#dirty && this.#pause === null) await this.sync();
  }

  /** Applies the claims to the kernel: forwards for all ports that are held, and no others. */
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
    // Of concurrent calls, the last one counts.
    if (sync === this.#syncs) this.#written = forwards;
    // Ports are released after their rules are gone. A remaining rule would lead another program's connections to a
    // guest.
    for (const name of free) if (isFree(name)) this.#holds.release(name);
  }

  async #connectionsTo(vmId: number, backends: readonly Backend[]): Promise<number | null> {
    const throughAgent = this.#tunnels.count(vmId);
    const targets = backends.flatMap(({ address, port }) =>
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
      .activeBackendsOf(claim)
      .flatMap(({ address, port }) => (address === null ? [] : [{ address, port }]));
    return { protocol, hostPort, targets };
  }

  /** Serves a connection that the kernel did not forward: to a guest without an address, or refuses it. */
  #serve(name: string, connection: Duplex, idleMs: (() => number) | null): boolean {
    const claim = this.#claims.get(name);
    if (claim === undefined) return false;
    const active = this.#claims.activeBackendsOf(claim).filter(({ address }) => address === null);
    const backend = active[claim.turn++ % Math.max(1, active.length)];
    if (backend === undefined) return false;
    const agent = this.#parts.agentOf(backend.vmId);
    const target = { protocol: claim.protocol, port: backend.port };
    if (agent === null) {
      this.#tunnels.refused(backend.vmId, target);
      return false;
    }
    return this.#tunnels.begin(backend.vmId, agent, target, connection, idleMs);
  }

  /** Restores claims that a VM had before. A port that another owner has by now is lost. */
  #joinAgain(record: VmRecord, ports: readonly PublishedPort[], wasReady = false): void {
    for (const published of ports) {
      try {
        this.#claims.join(record, published, wasReady);
      } catch (error) {
        this.#parts.log.error({ vm: record.name, err: error }, 'a published port was lost');
      }
    }
  }

  async #holdAgain(claim: Claim): Promise<void> {
    try {
      await this.#holds.take(claim);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#parts.report('HOST_PORT_LOST', [...claim.backends.keys()], why);
      this.#lost.add(claim);
    }
  }

  #onRegained({ name }: NamedPort): void {
    const backends = [...(this.#claims.get(name)?.backends.keys() ?? [])];
    this.#parts.report('HOST_PORT_REGAINED', backends, `Host port ${name} is held again`);
    void this.#syncOrLog('a published port could not be restored');
  }
}

function pause() {
  let end: () => void = () => undefined;
  const over = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { over, end: () => end() };
}
