// engine: which ports of the host a config asks for. Pure.

import type { VmConfig } from '../../schema/vm-config.ts';
import type { PortProtocol } from '../network-ports.ts';
import type { ReplicaOf } from '../records.ts';

const PORT_MAX = 65_535;

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

/** Ports of all replicas of a deployment. One without replicas keeps the ports of its first one. */
export function replicaPortsOf(
  config: Pick<VmConfig, 'expose'>,
  replicas: number,
): readonly ExposedPort[] {
  const ports = Array.from({ length: Math.max(1, replicas) }, (_, index) =>
    exposedPortsOf(config, { index: index + 1 }).filter(({ shared }) => !shared || index === 0),
  );
  return ports.flat();
}

/** What is wrong with the ports of so many replicas, keyed by path: two entries overlap, or one goes too far. */
export function replicaPortProblems(
  config: Pick<VmConfig, 'expose'>,
  replicas: number,
): Record<string, string> {
  const problems: Record<string, string> = {};
  const ranges = exposedPortsOf(config, { index: 1 }).map(({ protocol, hostPort, shared }) => ({
    protocol,
    first: hostPort,
    last: hostPort + (shared ? 0 : Math.max(1, replicas) - 1),
  }));
  for (const [index, { protocol, first, last }] of ranges.entries()) {
    const field = `expose[${index}].host_port`;
    if (last > PORT_MAX) {
      problems[field] = `replica ${PORT_MAX - first + 2} would get a port above ${PORT_MAX}`;
      continue;
    }
    const other = ranges.findIndex(
      (range, position) =>
        position !== index &&
        range.protocol === protocol &&
        range.first <= last &&
        range.last >= first,
    );
    if (other < 0) continue;
    const ports = first === last ? `port ${first}` : `ports ${first} to ${last}`;
    problems[field] = `${ports} of ${replicas} replicas overlap with those of expose[${other}]`;
  }
  return problems;
}

/** A name for messages and keys: "tcp 8080". */
export function nameOf({ protocol, hostPort }: Pick<ExposedPort, 'protocol' | 'hostPort'>): string {
  return `${protocol} ${hostPort}`;
}
