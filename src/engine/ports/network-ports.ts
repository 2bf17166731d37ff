// engine, ports: what the engine needs of the guests' network. Only types. host-ports.ts joins all subjects.

import type { Duplex } from 'node:stream';
import type { EgressRules } from '../../lib/net/egress.ts';
import type { HostChanges } from '../records.ts';

export interface NetworkSpec {
  readonly bridge: string;
  readonly hostIp: string;
  readonly prefixLength: number;
  /** The guests' network in CIDR notation, for the NAT rules. */
  readonly subnet: string;
  /** The address of the host whose ports are published; 0.0.0.0 means all. */
  readonly exposeAddress: string;
}

/** The identity of the guest behind a tap. Frames from the tap with another source are dropped. */
export interface GuestIdentity {
  readonly tapName: string;
  readonly macAddress: string;
  /** null if a foreign DHCP server assigns it. */
  readonly ipAddress: string | null;
  /** The guest asks for its address by DHCP. */
  readonly asksForLease: boolean;
  /** What it may reach. Absent: everything. */
  readonly egress?: EgressRules;
}

/** A guest with egress rules. */
export interface EgressGuest {
  readonly tapName: string;
  readonly ipAddress: string;
  readonly rules: EgressRules;
}

/** A guest whose rules the kernel has. */
export interface EgressEntrySeen {
  /** Empty if the tables have the address only. */
  readonly tapName: string;
  readonly ipAddress: string;
  /** null if the tables have a part of the guest only. */
  readonly policyId: string | null;
}

/** What a guest with egress rules has sent since it has them. */
export interface EgressCount {
  readonly ipAddress: string;
  readonly packets: number;
  readonly bytes: number;
  readonly refusedPackets: number;
  readonly refusedBytes: number;
}

export type PortProtocol = 'tcp' | 'udp';

/** A port on the guest's loopback address. On a connection to a UDP port, each datagram is preceded by its length. */
export interface GuestPort {
  readonly protocol: PortProtocol;
  readonly port: number;
}

/** A port of a guest with an address. */
export interface ForwardTarget {
  readonly address: string;
  readonly port: number;
}

/** A published port and the backends that get its new connections in turn. */
export interface Forward {
  readonly protocol: PortProtocol;
  readonly hostPort: number;
  readonly targets: readonly ForwardTarget[];
}

/** A host port that no other program can bind. */
export interface HeldPort {
  release(): void;
}

/** The stored changes to the host, by which they can be undone. */
export interface HostLedger {
  changes(): HostChanges;
  /** Resolves when the changes are on disk. */
  remember(changes: HostChanges): Promise<void>;
}

/** A guest in the wanted network. */
export interface WantedGuest {
  readonly vmId: number;
  readonly guest: GuestIdentity;
  /** The number of its bridge; null for any bridge of guests without a known address. */
  readonly bridgeNumber: number | null;
  /**
   * The hypervisor runs, so everything of it must exist. Otherwise it may exist, because the guest is starting or
   * stopping.
   */
  readonly isAlive: boolean;
}

/** The wanted state of the guests' network. */
export interface WantedNetwork {
  readonly spec: NetworkSpec;
  /** false: no running guest uses it, and it was not made yet. */
  readonly isNeeded: boolean;
  /** Guests may send only from their own addresses. */
  readonly antiSpoofing: boolean;
  /** The network must have nothing of other guests. */
  readonly guests: readonly WantedGuest[];
  /** null while they are changing. */
  readonly forwards: readonly Forward[] | null;
}

/** Rules, compared with what was applied last. */
export type RulesState = 'right' | 'changed' | 'missing';

/** A sender that the filter lets pass. Without an address it may send from every address that no guest has. */
export interface FilterEntry {
  readonly tapName: string;
  readonly macAddress: string;
  readonly ipAddress: string | null;
}

/** The guests' network as the kernel has it. */
export interface SeenNetwork {
  readonly bridge: { readonly isUp: boolean; readonly addresses: readonly string[] } | null;
  /** The taps of this daemon. `bridgeNumber` is null for a tap on none of its bridges. */
  readonly taps: readonly {
    readonly name: string;
    readonly bridgeNumber: number | null;
    readonly isUp: boolean;
  }[];
  /** The secondary bridges. A whole one is up and connected to the first bridge by a veth pair. */
  readonly secondaryBridges: readonly {
    readonly bridgeNumber: number;
    readonly isWhole: boolean;
  }[];
  readonly nat: RulesState;
  readonly filter: {
    readonly rules: RulesState;
    readonly entries: readonly FilterEntry[];
    /** Addresses that a guest without a known address may not send from. */
    readonly taken: readonly string[];
    /** Who gets the questions of ARP for an address. */
    readonly owners: readonly { readonly tapName: string; readonly ipAddress: string }[];
  };
  readonly ports: { readonly rules: RulesState; readonly forwards: readonly Forward[] };
  readonly egress: { readonly rules: RulesState; readonly entries: readonly EgressEntrySeen[] };
  readonly ipForward: boolean;
  /** The setting of the bridge. */
  readonly routeLocalnet: boolean;
}

/** The parts of the network to repair. Parts that are right stay unchanged. */
export interface NetworkRepair {
  /** Bridge, address, forwarding, NAT and filter. */
  readonly network: boolean;
  /** Guests to add to the filter and to remove from it; the filter is made again. */
  readonly filter: {
    readonly admitted: readonly GuestIdentity[];
    readonly left: readonly string[];
  } | null;
  readonly forwards: readonly Forward[] | null;
  /** Guests whose egress rules lack, and taps that have some and should not; the tables are made again. */
  readonly egress: {
    readonly admitted: readonly GuestIdentity[];
    readonly left: readonly string[];
  } | null;
  readonly secondaryBridges: readonly number[];
  /** Taps to put back on their bridges and bring up. */
  readonly taps: readonly { readonly tapName: string; readonly bridgeNumber: number | null }[];
}

/** The guests' network. A part of HostPorts. */
export interface NetworkHost {
  /**
   * Creates what is missing of bridge, address, forwarding and NAT, and the filter for the present guests. `guests` is
   * called once. Other changes to the host are stored in the ledger before. Idempotent.
   */
  ensureNetwork(
    spec: NetworkSpec,
    guests: () => readonly GuestIdentity[],
    ledger: HostLedger,
  ): Promise<void>;
  /**
   * The kernel's state of the network; changes nothing. null while it is being rebuilt. Rules are not read if the
   * network is not needed and has no bridge, because the programs for that may be missing.
   */
  readNetwork(spec: NetworkSpec, isNeeded: boolean): Promise<SeenNetwork | null>;
  /** Repairs these parts as far as possible, then rejects with the first error, if there was one. */
  repairNetwork(spec: NetworkSpec, repair: NetworkRepair, ledger: HostLedger): Promise<void>;
  /**
   * Calls `onLost` until close() when a part is lost: a tap with its name, anything else with null. It does not matter
   * who removed it. Throws if the kernel cannot report losses.
   */
  watchNetwork(spec: NetworkSpec, onLost: (tapName: string | null) => void): void;
  /** Applies exactly these forwards. Concurrent calls share one change. */
  setForwards(spec: NetworkSpec, forwards: readonly Forward[]): Promise<void>;
  /**
   * Holds a guest to its egress rules, or to none where it has none, and ends its connections that they forbid. Resolves when
   * the kernel has them.
   */
  setEgress(spec: NetworkSpec, guest: GuestIdentity): Promise<void>;
  /** What every guest with egress rules has sent, counted at one moment. */
  countEgress(): Promise<readonly EgressCount[]>;
  /** The number of open TCP connections that were forwarded to these targets; null if the kernel cannot count them. */
  countConnections(targets: readonly ForwardTarget[]): Promise<number | null>;
  /**
   * Binds a host port, so that no other program can. Connections that no forward leads to a guest are passed to
   * `serve`; if it returns false, they are refused. A UDP flow has no end, so it has `idleMs`, for how many ms nothing
   * was sent; it is null for a connection. Throws PORT_TAKEN with the name of the program that has it.
   */
  holdPort(
    protocol: PortProtocol,
    port: number,
    serve: (connection: Duplex, idleMs: (() => number) | null) => boolean,
  ): Promise<HeldPort>;
  /** Removes the rules, and undoes `changes`. Idempotent. */
  removeNetwork(spec: NetworkSpec, changes: HostChanges): Promise<void>;
  /** Removes a tap. Resolves when it is gone. Concurrent calls share one request to the kernel. */
  removeTap(tapName: string): Promise<void>;
  /** Name servers of the host that a guest can reach, without loopback addresses. */
  nameServers(): Promise<readonly string[]>;
}
