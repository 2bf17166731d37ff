// engine: what is said of the guests' network between the engine and the workers. Only types; the whole of what the
// engine needs of the host is in ports.ts.

import type { Duplex } from 'node:stream';
import type { HostChanges } from './records.ts';

export interface NetworkSpec {
  readonly bridge: string;
  readonly hostIp: string;
  readonly prefixLength: number;
  /** CIDR text of the guests' network, for the NAT rules. */
  readonly subnet: string;
  /** The address of the host whose ports lead to guests; 0.0.0.0 is every one. */
  readonly exposeAddress: string;
}

/** Whose frames a tap carries: what comes from it under another name is dropped. */
export interface GuestIdentity {
  readonly tapName: string;
  readonly macAddress: string;
  /** null when somebody else's DHCP server gives it one. */
  readonly ipAddress: string | null;
  /** The guest asks for its address. */
  readonly asksForLease: boolean;
}

export type PortProtocol = 'tcp' | 'udp';

/** A port on the guest's loopback address. On a connection to one of UDP each datagram has its length in front. */
export interface GuestPort {
  readonly protocol: PortProtocol;
  readonly port: number;
}

/** A port of a guest with an address. */
export interface ForwardTarget {
  readonly address: string;
  readonly port: number;
}

/** A port of the host and where new connections to it go: to each target in turn. */
export interface Forward {
  readonly protocol: PortProtocol;
  readonly hostPort: number;
  readonly targets: readonly ForwardTarget[];
}

/** A port of the host that no program can take. */
export interface HeldPort {
  release(): void;
}

/** What is written down of changes to the host, so that they can be put back. */
export interface HostLedger {
  changes(): HostChanges;
  /** Resolves when it is on disk. */
  remember(changes: HostChanges): Promise<void>;
}

/** A guest in the network that is wanted. */
export interface WantedGuest {
  readonly vmId: number;
  readonly guest: GuestIdentity;
  /** null: any of the bridges for guests whose address is not known. */
  readonly shard: number | null;
  /** Its hypervisor runs, so that all of it must be there. Else it may be, because the guest comes or goes. */
  readonly isAlive: boolean;
}

/** The guests' network as it should be. */
export interface WantedNetwork {
  readonly spec: NetworkSpec;
  /** false: no guest that runs has a use for it, and it was not made yet. */
  readonly isNeeded: boolean;
  /** What guests send is filtered by who they are. */
  readonly antiSpoofing: boolean;
  /** Of nobody else may anything be there. */
  readonly guests: readonly WantedGuest[];
  /** null while they are changed. */
  readonly forwards: readonly Forward[] | null;
}

/** Rules, compared with what was written down last. */
export type RulesState = 'right' | 'changed' | 'missing';

/** A sender that the filter lets pass; without an address it may send from those that nobody has. */
export interface FilterEntry {
  readonly tapName: string;
  readonly macAddress: string;
  readonly ipAddress: string | null;
}

/** The guests' network as the kernel has it. */
export interface SeenNetwork {
  readonly bridge: { readonly isUp: boolean; readonly addresses: readonly string[] } | null;
  /** Of this daemon. `shard` is null for one that is a port of none of its bridges. */
  readonly taps: readonly {
    readonly name: string;
    readonly shard: number | null;
    readonly isUp: boolean;
  }[];
  /** Bridges beside the first one; whole ones are up and have a cable to it. */
  readonly shards: readonly { readonly shard: number; readonly isWhole: boolean }[];
  readonly nat: RulesState;
  readonly filter: {
    readonly rules: RulesState;
    readonly entries: readonly FilterEntry[];
    /** Addresses that a guest without a known one may not send from. */
    readonly taken: readonly string[];
  };
  readonly ports: { readonly rules: RulesState; readonly forwards: readonly Forward[] };
  readonly ipForward: boolean;
  /** Of the bridge. */
  readonly routeLocalnet: boolean;
}

/** What is to be put in line. What is right already stays as it is. */
export interface NetworkMending {
  /** Bridge, address, forwarding, NAT and filter. */
  readonly network: boolean;
  /** The filter knows these from now on, those no more, and is made anew. */
  readonly filter: {
    readonly admitted: readonly GuestIdentity[];
    readonly left: readonly string[];
  } | null;
  readonly forwards: readonly Forward[] | null;
  readonly shards: readonly number[];
  /** Put back on their bridges, and up. */
  readonly taps: readonly { readonly tapName: string; readonly shard: number | null }[];
}

/** A part of HostPort. */
export interface NetworkHost {
  /**
   * Creates what is missing of bridge, its address, forwarding and NAT, and the filter for the guests that
   * are there already; they are asked for once. What it changes beside that is in the ledger before. Idempotent.
   */
  ensureNetwork(
    spec: NetworkSpec,
    guests: () => readonly GuestIdentity[],
    ledger: HostLedger,
  ): Promise<void>;
  /**
   * What the kernel has of it. Changes nothing. null: it is being made anew at the moment. Where it is not needed and there is
   * no bridge nobody asks for rules: programs for them may not be there either.
   */
  lookAtNetwork(spec: NetworkSpec, isNeeded: boolean): Promise<SeenNetwork | null>;
  /** Puts this in line, and all that can be of it: rejects at the end with the first thing that went wrong. */
  mendNetwork(spec: NetworkSpec, mending: NetworkMending, ledger: HostLedger): Promise<void>;
  /**
   * Calls back until close() when something of it is lost: a tap by its name; null is everything else. Who changes it does
   * not matter. Throws where the kernel does not tell.
   */
  watchNetwork(spec: NetworkSpec, onLost: (tapName: string | null) => void): void;
  /** These forwards and no others. Calls at the same time share one change. */
  setForwards(spec: NetworkSpec, forwards: readonly Forward[]): Promise<void>;
  /** TCP connections that forwards have led to these and that go on; null where the kernel does not tell. */
  countConnections(targets: readonly ForwardTarget[]): Promise<number | null>;
  /**
   * Holds a port of the host, so that no program can take it. Connections that no forward leads to a
   * guest are given to `serve`; those that it does not take are refused. Of a flow of datagrams nothing
   * tells the end but `idleMs`, for how long nobody has sent; null for a connection. PORT_TAKEN with the
   * name of the program that has it.
   */
  holdPort(
    protocol: PortProtocol,
    port: number,
    serve: (connection: Duplex, idleMs: (() => number) | null) => boolean,
  ): Promise<HeldPort>;
  /** Removes the rules, and what `changes` says that we made. Idempotent. */
  removeNetwork(spec: NetworkSpec, changes: HostChanges): Promise<void>;
  /** Removes taps; resolves when their absence was seen. Calls at the same time share one kernel request. */
  removeTap(tapName: string): Promise<void>;
}
