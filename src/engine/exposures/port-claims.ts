// engine: who has which port of the host, and who is behind it. Bookkeeping in memory; that a port is held
// and leads where it should is exposures' business.

import { VolantError } from '../../lib/errors.ts';
import type { ReplicaOf, VmRecord } from '../records.ts';
import { type ExposedPort, nameOf } from './exposed-ports.ts';
import type { NamedPort } from './port-holds.ts';

/** Whose port it is, as a client knows it. */
export interface PortOwner {
  readonly name: string;
  readonly replica?: Pick<ReplicaOf, 'deployment' | 'revision'> | undefined;
}

/** A VM behind a port. */
export interface Member {
  readonly vmId: number;
  readonly name: string;
  /** Of its deployment; undefined where it has none. */
  readonly revision: number | undefined;
  /** null: reached through its agent. */
  readonly address: string | null;
  readonly port: number;
  readonly shared: boolean;
  /** Ends the interest in its readiness; null where it does not matter. */
  readonly unwatch: (() => void) | null;
}

export interface Claim extends NamedPort {
  readonly owner: string;
  readonly members: Map<number, Member>;
  /** Connections handed to agents so far: the next one goes to the next guest. */
  turn: number;
}

/** What is asked of the readiness of VMs behind a shared port. */
export interface Readiness {
  watch(vmId: number, wasReady?: boolean): () => void;
  isReady(vmId: number): boolean;
}

export class PortClaims {
  readonly #readiness: Readiness;
  readonly #claims = new Map<string, Claim>();
  /** Ports of deployments, whether replicas have them or not: port -> owner. */
  readonly #reserved = new Map<string, string>();

  constructor(readiness: Readiness) {
    this.#readiness = readiness;
  }

  get(name: string): Claim | undefined {
    return this.#claims.get(name);
  }

  all(): readonly Claim[] {
    return [...this.#claims.values()];
  }

  /** PORT_TAKEN when one of the ports is another's. */
  refuseTaken(owner: PortOwner, ports: readonly ExposedPort[]): void {
    const details: Record<string, string> = {};
    for (const exposed of ports) {
      const other = this.#otherOwner(owner, exposed);
      if (other !== undefined) details[nameOf(exposed)] = `belongs to ${other}`;
    }
    const [port, why] = Object.entries(details)[0] ?? [];
    if (port === undefined) return;
    throw new VolantError('PORT_TAKEN', `Host port ${port} ${why}`, { details });
  }

  /** These ports and no others are the deployment's, whether it has replicas at the moment or not. */
  reserve(deployment: string, ports: readonly ExposedPort[]): void {
    const owner = ownerOf({ name: '', replica: { deployment, revision: 0 } });
    for (const [name, reservedFor] of this.#reserved) {
      if (reservedFor === owner) this.#reserved.delete(name);
    }
    for (const exposed of ports) this.#reserved.set(nameOf(exposed), owner);
  }

  /** Puts a VM behind a port, or changes what it has there. PORT_TAKEN. */
  join(record: VmRecord, exposed: ExposedPort, wasReady = false): Claim {
    this.refuseTaken(record, [exposed]);
    const claim = this.#claimFor(record, exposed);
    const { id, name, replica, leases } = record;
    const { port, shared } = exposed;
    const watched = claim.members.get(id)?.unwatch ?? null;
    if (!shared) watched?.();
    claim.members.set(id, {
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

  /** Takes a VM away from every port that is not among these. */
  leaveAllBut(vmId: number, kept: readonly ExposedPort[]): void {
    const names = new Set(kept.map(nameOf));
    for (const { name, members } of this.#claims.values()) {
      const member = members.get(vmId);
      if (member === undefined || names.has(name)) continue;
      member.unwatch?.();
      members.delete(vmId);
      if (members.size === 0) this.#claims.delete(name);
    }
  }

  /** What a VM is behind. */
  membersOf(vmId: number): readonly (NamedPort & { readonly member: Member })[] {
    return this.all().flatMap(({ name, protocol, hostPort, members }) => {
      const member = members.get(vmId);
      return member === undefined ? [] : [{ name, protocol, hostPort, member }];
    });
  }

  portsOf(vmId: number): readonly ExposedPort[] {
    return this.membersOf(vmId).map(({ protocol, hostPort, member: { port, shared } }) => ({
      protocol,
      hostPort,
      port,
      shared,
    }));
  }

  sharesPort(vmId: number): boolean {
    return this.membersOf(vmId).some(({ member }) => member.shared);
  }

  /**
   * Who gets new connections. While a deployment is rolled out, a port that changes its meaning is the older
   * replicas' until they are gone.
   */
  takersOf({ members }: Claim): readonly Member[] {
    const inOrder = [...members.values()].sort((one, other) => one.vmId - other.vmId);
    if (!inOrder[0]?.shared) return inOrder.slice(0, 1);
    return inOrder.filter(({ vmId, shared }) => shared && this.#readiness.isReady(vmId));
  }

  #claimFor(record: VmRecord, exposed: ExposedPort): Claim {
    const name = nameOf(exposed);
    const known = this.#claims.get(name);
    if (known !== undefined) return known;
    const { protocol, hostPort } = exposed;
    const claim = { name, protocol, hostPort, owner: ownerOf(record), members: new Map(), turn: 0 };
    this.#claims.set(name, claim);
    return claim;
  }

  /** Replicas of one deployment are one owner; those of one revision have a port each, or share it. */
  #otherOwner(owner: PortOwner, exposed: ExposedPort): string | undefined {
    const name = nameOf(exposed);
    const own = ownerOf(owner);
    const claim = this.#claims.get(name);
    const owners = [this.#reserved.get(name), claim?.owner];
    const other = owners.find((known) => known !== undefined && known !== own);
    if (other !== undefined) return other;
    const rival = [...(claim?.members.values() ?? [])].find(
      (member) =>
        member.name !== owner.name &&
        member.revision === owner.replica?.revision &&
        !(member.shared && exposed.shared),
    );
    return rival && `VM ${rival.name}`;
  }
}

function ownerOf({ name, replica }: PortOwner): string {
  return replica === undefined ? `VM ${name}` : `deployment ${replica.deployment}`;
}
