// engine, published ports: the published ports that a config asks for. Pure.

import type { VmConfig } from '../../schema/vm-config.ts';
import type { PortProtocol } from '../ports/network-ports.ts';
import type { ReplicaOf } from '../records.ts';

const PORT_MAX = 65_535;

export interface PublishedPort {
  readonly protocol: PortProtocol;
  readonly hostPort: number;
  /** The port of the guest. */
  readonly port: number;
  /** One host port for all replicas of a deployment, which balances new connections among them. */
  readonly shared: boolean;
}

/** The parts of a config that determine its published ports. */
type PortConfig = Pick<VmConfig, 'expose' | 'network'> & {
  readonly manifest?: Pick<VmConfig['manifest'], 'network'>;
};

/**
 * The published ports of the config, else those ports of the manifest that name a host port. `field` is the path of
 * each entry.
 */
function askedPortsOf({ expose, network, manifest }: PortConfig) {
  if (expose !== undefined && expose !== null) {
    return expose.map((asked, index) => ({ ...asked, field: `expose[${index}]` }));
  }
  const own = network?.expose;
  const declared = own ?? manifest?.network?.expose ?? [];
  const path = own === undefined ? 'manifest.network' : 'network';
  return declared.flatMap((asked, index) =>
    asked.host_port ? [{ ...asked, balanced: false, field: `${path}.expose[${index}]` }] : [],
  );
}

/** The published ports of one VM. A replica has host ports of its own, except for shared ones. */
export function publishedPortsOf(
  config: PortConfig,
  replica: Pick<ReplicaOf, 'index'> | undefined,
): readonly PublishedPort[] {
  return askedPortsOf(config).map(({ protocol, port = 0, host_port = 0, balanced = false }) => {
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

/**
 * The published ports of all replicas of a deployment. A deployment without replicas keeps the ports of its first one.
 */
export function replicaPortsOf(config: PortConfig, replicas: number): readonly PublishedPort[] {
  const ports = Array.from({ length: Math.max(1, replicas) }, (_, index) =>
    publishedPortsOf(config, { index: index + 1 }).filter(({ shared }) => !shared || index === 0),
  );
  return ports.flat();
}

/**
 * What is wrong with the published ports of this many replicas, keyed by path: two entries overlap, or a port number is
 * too large.
 */
export function replicaPortProblems(config: PortConfig, replicas: number): Record<string, string> {
  const problems: Record<string, string> = {};
  const fields = askedPortsOf(config).map(({ field }) => field);
  const ranges = publishedPortsOf(config, { index: 1 }).map(({ protocol, hostPort, shared }) => ({
    protocol,
    first: hostPort,
    last: hostPort + (shared ? 0 : Math.max(1, replicas) - 1),
  }));
  for (const [index, { protocol, first, last }] of ranges.entries()) {
    const field = `${fields[index]}.host_port`;
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
    problems[field] = `${ports} of ${replicas} replicas overlap with those of ${fields[other]}`;
  }
  return problems;
}

/** The name of a host port in messages and keys, such as "tcp 8080". */
export function nameOf({
  protocol,
  hostPort,
}: Pick<PublishedPort, 'protocol' | 'hostPort'>): string {
  return `${protocol} ${hostPort}`;
}
