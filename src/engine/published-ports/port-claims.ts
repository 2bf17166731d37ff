// engine, published ports: who owns which host port, and the backends behind it. Pure bookkeeping in memory;
// port-publisher.ts holds the ports and applies the rules.

import { VolantError } from '../../lib/errors.ts';
import type { ReplicaOf, VmRecord } from '../records.ts';
import type { NamedPort } from './port-holds.ts';
import { nameOf, type PublishedPort } from './published-ports.ts';

/** The owner of a port, as a client knows it. */
export interface PortOwner {
  readonly name: string;
  readonly replica?: Pick<ReplicaOf, 'deployment' | 'revision'> | undefined;
}

/** A backend: a VM behind a published port. */
export interface Backend {
  readonly vmId: number;
  readonly name: string;
  /** The revision of its deployment; undefined without a deployment. */
  readonly revision: number | undefined;
  /** null: reached through its agent. */
  readonly address: string | null;
  readonly port: number;
  readonly shared: boolean;
  /** Ends the watch of its readiness; null if readiness does not matter. */
  readonly unwatch: (() => void) | null;
}

export interface Claim extends NamedPort {
  readonly owner: string;
  readonly backends: Map<number, Backend>;
  /** Connections passed to agents so far, for round-robin. */
  turn: number;
}

/** The readiness of VMs behind a shared port. */
export interface Readiness {
  watch(vmId: number, wasReady?: boolean): () => void;
  isReady(vmId: number): boolean;
}

export class PortClaims {
  readonly #readiness: Readiness;
  readonly #claims = new Map<string, Claim>();
  /** Ports of deployments, whether replicas use them or not: port -> owner. */
  readonly #reserved = new Map<string, string>();

  constructor(readiness: Readiness) {
    this.#readiness = readiness;
  }

  get(name: string): Claim | undefined {
    return this.#claims.get(name);
  }

  get size(): number {
    return this.#claims.size;
  }

  all(): readonly Claim[] {
    return [...this.#claims.values()];
  }

  /** Throws PORT_TAKEN if one of the ports belongs to another owner. */
  refuseTaken(owner: PortOwner, ports: readonly PublishedPort[]): void {
    const details: Record<string, string> = {};
    for (const published of ports) {
      const other = this.#otherOwner(owner, published);
      if (other !== undefined) details[nameOf(published)] = `belongs to ${other}`;
    }
    const [port, why] = Object.entries(details)[0] ?? [];
    if (port === undefined) return;
    throw new VolantError('PORT_TAKEN', `Host port ${port} ${why}`, { details });
  }

  /** Reserves exactly these ports for a deployment, even while it has no replicas. */
  reserve(deployment: string, ports: readonly PublishedPort[]): void {
    const owner = ownerOf({ name: '', replica: { deployment, revision: 0 } });
    for (const [name, reservedFor] of this.#reserved) {
      if (reservedFor === owner) this.#reserved.delete(name);
    }
    for (const published of ports) this.#reserved.set(nameOf(published), owner);
  }

  /** Adds a VM to a port's backends, or changes its entry. Throws PORT_TAKEN. */
  join(record: VmRecord, published: PublishedPort, wasReady = false): Claim {
    this.refuseTaken(record, [published]);
    const claim = this.#claimFor(record, published);
    const { id, name, replica, leases } = record;
    const { port, shared } = published;
    const watched = claim.backends.get(id)?.unwatch ?? null;
    if (!shared) watched?.();
    claim.backends.set(id, {
      vmId: id,
      name,
      revision: replica?.revision,
      address: leases.ipAddress,
      port,
      shared,
      unwatch: shared ? (watched ?? this.#readiness.watch(id, wasReady)) : null,
    });
    return claim;
  }

  /** Removes a VM from every port that is not among these. */
  leaveAllBut(vmId: number, kept: readonly PublishedPort[]): void {
    const names = new Set(kept.map(nameOf));
    for (const { name, backends } of this.#claims.values()) {
      const backend = backends.get(vmId);
      if (backend === undefined || names.has(name)) continue;
      backend.unwatch?.();
      backends.delete(vmId);
      if (backends.size === 0) this.#claims.delete(name);
    }
  }

  /** The ports that a VM is a backend of. */
  entriesOf(vmId: number): readonly (NamedPort & { readonly backend: Backend })[] {
    return this.all().flatMap(({ name, protocol, hostPort, backends }) => {
      const backend = backends.get(vmId);
      return backend === undefined ? [] : [{ name, protocol, hostPort, backend }];
    });
  }

  /** The published ports of a VM. */
  portsOf(vmId: number): readonly PublishedPort[] {
    return this.entriesOf(vmId).map(({ protocol, hostPort, backend: { port, shared } }) => ({
      protocol,
      hostPort,
      port,
      shared,
    }));
  }

  /** Whether the VM is a backend of a shared port. */
  sharesPort(vmId: number): boolean {
    return this.entriesOf(vmId).some(({ backend }) => backend.shared);
  }

  /**
   * The backends that get new connections. While a rollout changes whether a port is shared, the older replicas keep it
   * until they are gone.
   */
  activeBackendsOf({ backends }: Claim): readonly Backend[] {
    const inOrder = [...backends.values()].sort((one, other) => one.vmId - other.vmId);
    if (!inOrder[0]?.shared) return inOrder.slice(0, 1);
    return inOrder.filter(({ vmId, shared }) => shared && this.#readiness.isReady(vmId));
  }

  #claimFor(record: VmRecord, published: PublishedPort): Claim {
    const name = nameOf(published);
    const known = this.#claims.get(name);
    if (known !== undefined) return known;
    const { protocol, hostPort } = published;
    const claim = {
      name,
      protocol,
      hostPort,
      owner: ownerOf(record),
      backends: new Map(),
      turn: 0,
    };
    this.#claims.set(name, claim);
    return claim;
  }

  /** Replicas of one deployment are one owner. Within one revision, each has a port of its own or they share it. */
  #otherOwner(owner: PortOwner, published: PublishedPort): string | undefined {
    const name = nameOf(published);
    const own = ownerOf(owner);
    const claim = this.#claims.get(name);
    const owners = [this.#reserved.get(name), claim?.owner];
    const other = owners.find((known) => known !== undefined && known !== own);
    if (other !== undefined) return other;
    const rival = [...(claim?.backends.values() ?? [])].find(
      (backend) =>
        backend.name !== owner.name &&
        backend.revision === owner.replica?.revision &&
        !(backend.shared && published.shared),
    );
    return rival && `VM ${rival.name}`;
  }
}

function ownerOf({ name, replica }: PortOwner): string {
  return replica === undefined ? `VM ${name}` : `deployment ${replica.deployment}`;
}
