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

/** A part of HostPort. */
export interface NetworkHost {
  /**
   * Creates what is missing of bridge, its address, forwarding and NAT, and the filter for the guests that
   * are there already. What it changes beside that is in the ledger before. Idempotent.
   */
  ensureNetwork(
    spec: NetworkSpec,
    guests: readonly GuestIdentity[],
    ledger: HostLedger,
  ): Promise<void>;
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
