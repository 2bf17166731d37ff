// jobs, network, egress: what the rules of a policy say of one connection that a guest has opened, for connections that are
// open when the rules change. Pure. It says the same as the rules of policy-text.ts.

import {
  type EgressEntry,
  type EgressPolicy,
  hasNames,
  METADATA_NETWORK,
  type PortRange,
} from '../../../../lib/net/egress.ts';
import { contains, type Ipv4Network } from '../../../../lib/net/ipv4.ts';
import { DNS_PORTS, isMetadata, learnedSetsOf } from './policy-text.ts';

const PROTOCOLS_WITH_PORTS: readonly number[] = [6, 17];

/** A tracked connection, as its first packet was. */
export interface OpenConnection {
  /** The number of the protocol: 6 is TCP, 17 is UDP. */
  readonly protocol: number;
  readonly destination: number;
  /** 0 for a protocol without ports. */
  readonly port: number;
}

/** What a verdict depends on beside the policy. */
export interface VerdictFacts {
  readonly nameServers: ReadonlySet<number>;
  readonly ownNetworks: readonly Ipv4Network[];
  /** The addresses in a set of learned addresses. */
  readonly learned: (setName: string) => ReadonlySet<number>;
}

/** Whether a guest with this policy could open this connection now. */
export function isAllowed(
  policy: EgressPolicy,
  connection: OpenConnection,
  facts: VerdictFacts,
): boolean {
  const hasPorts = PROTOCOLS_WITH_PORTS.includes(connection.protocol);
  const inRange = (ports: PortRange | null) =>
    ports === null || (hasPorts && connection.port >= ports.first && connection.port <= ports.last);
  const matches = (entry: EgressEntry) =>
    entry.kind === 'network' &&
    contains(entry.network, connection.destination) &&
    inRange(entry.ports);
  const networks = policy.allow.filter((entry) => entry.kind === 'network');
  const withNames = hasNames(policy);
  if (withNames && hasPorts && connection.port === 53) {
    if (facts.nameServers.has(connection.destination)) return true;
  }
  if (policy.deny.some(matches)) return false;
  if (contains(METADATA_NETWORK, connection.destination)) {
    return networks.filter(isMetadata).some(matches);
  }
  if (networks.some((entry) => entry.ports !== null && matches(entry))) return true;
  if (withNames && hasPorts && DNS_PORTS.some((port) => port === connection.port)) return false;
  if (networks.some((entry) => entry.ports === null && matches(entry))) return true;
  if (policy.default === 'allow') return true;
  if (facts.ownNetworks.some((network) => contains(network, connection.destination))) return false;
  return learnedSetsOf(policy).some(
    ({ ports, names }) =>
      inRange(ports) && names.some((name) => facts.learned(name).has(connection.destination)),
  );
}
