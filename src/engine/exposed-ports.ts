// engine: which ports of the host a config asks for. Pure.

import type { VmConfig } from '../schema/vm-config.ts';
import type { PortProtocol } from './network-ports.ts';
import type { ReplicaOf } from './records.ts';

export const PORT_MAX = 65_535;

export interface ExposedPort {
  readonly protocol: PortProtocol;
  readonly hostPort: number;
  /** Of the guest. */
  readonly port: number;
  /** One port for all replicas of a deployment, each new connection to the next of them. */
  readonly shared: boolean;
}

/** Ports of one VM. A replica has a port of its own, unless it is one that all of them share. */
export function exposedPortsOf(
  config: Pick<VmConfig, 'expose'>,
  replica: Pick<ReplicaOf, 'index'> | undefined,
): readonly ExposedPort[] {
  return (config.expose ?? []).map(({ protocol, port = 0, host_port = 0, balanced = false }) => {
    const shared = balanced && replica !== undefined;
    const offset = replica === undefined || shared ? 0 : replica.index - 1;
    return {
      protocol: protocol?.trim().toLowerCase() === 'udp' ? 'udp' : 'tcp',
      hostPort: host_port + offset,
      port,
      shared,
    };
  });
}

/** A name for messages and keys: "tcp 8080". */
export function nameOf({ protocol, hostPort }: Pick<ExposedPort, 'protocol' | 'hostPort'>): string {
  return `${protocol} ${hostPort}`;
}
