// engine: what is said of the guests' network between the engine and the workers. Only types.

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
