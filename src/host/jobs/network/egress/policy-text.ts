// jobs, network, egress: the chain of one policy, as text for nft. Pure. Guests with the same rules share it, and a map leads
// each guest to its chain, so a packet passes the rules of its own policy only. tables.ts has what all policies share.

import {
  coversNetwork,
  type EgressEntry,
  type EgressPolicy,
  formatNetwork,
  hasNames,
  METADATA_NETWORK,
  type NetworkEntry,
  type PortRange,
} from '../../../../lib/net/egress.ts';

/** Ports of DNS, and of DNS over TLS and over QUIC. */
export const DNS_PORTS = [53, 853] as const;

/** How long a learned address stays when no daemon takes it away. */
const LEARNED_TIMEOUT = '10m';

/** The names of two sets that have the addresses of names. Both are filled, and one after the other is emptied. */
export interface LearnedSets {
  readonly ports: PortRange | null;
  readonly names: readonly [string, string];
}

const isNetwork = (entry: EgressEntry): entry is NetworkEntry => entry.kind === 'network';

/** Whether an entry opens addresses of the metadata range, which nothing else opens. */
export const isMetadata = ({ network }: NetworkEntry): boolean =>
  coversNetwork(METADATA_NETWORK, network);

/** The sets of a policy: a pair for each port or range that its allowed names have. */
export function learnedSetsOf({ id, allow }: EgressPolicy): readonly LearnedSets[] {
  const byPorts = new Map<string, PortRange | null>();
  for (const entry of allow) {
    if (entry.kind === 'name') byPorts.set(portsText(entry.ports), entry.ports);
  }
  return [...byPorts].map(([text, ports]) => {
    const suffix = text.replace('-', '_') || 'any';
    return { ports, names: [`${id}_${suffix}_a`, `${id}_${suffix}_b`] };
  });
}

/** The declaration of each set of a policy. `sizeMax` bounds each. */
export function learnedSetTexts(
  policy: EgressPolicy,
  sizeMax: number,
  elementsOf: (name: string) => string = () => '',
): readonly string[] {
  return learnedSetsOf(policy)
    .flatMap(({ names }) => names)
    .map(
      (name) => `set ${name} {
    type ipv4_addr; size ${sizeMax}; timeout ${LEARNED_TIMEOUT};
    ${elementsOf(name)}
  }`,
    );
}

/**
 * The rules of a policy, one a line. Everything that they do not let pass is refused. The order is that of isAllowed in
 * verdict.ts.
 */
export function policyRules(policy: EgressPolicy): readonly string[] {
  const deny = policy.deny.filter(isNetwork);
  const allow = policy.allow.filter(isNetwork);
  const metadata = allow.filter(isMetadata);
  const others = allow.filter((entry) => !isMetadata(entry));
  const withNames = hasNames(policy);
  return [
    // Datagrams of one socket are one connection, and each of them is a look-up.
    ...(withNames ? ['ip daddr @name_servers udp dport 53 goto look_up'] : []),
    'ct state established,related goto pass',
    ...(withNames ? ['ip daddr @name_servers tcp dport 53 goto look_up'] : []),
    ...entryRules(deny, 'refuse'),
    ...entryRules(metadata, 'pass'),
    `ip daddr ${formatNetwork(METADATA_NETWORK)} goto refuse`,
    ...entryRules(
      others.filter(({ ports }) => ports !== null),
      'pass',
    ),
    ...(withNames
      ? [`meta l4proto { tcp, udp } th dport { ${DNS_PORTS.join(', ')} } goto refuse`]
      : []),
    ...entryRules(
      others.filter(({ ports }) => ports === null),
      'pass',
    ),
    ...learnedRules(policy),
    policy.default === 'allow' ? 'goto pass' : 'goto refuse',
  ];
}

/** Names lead to addresses elsewhere only: an answer for a name must not open the host or its guests. */
function learnedRules(policy: EgressPolicy): readonly string[] {
  const sets = learnedSetsOf(policy);
  if (policy.default === 'allow' || sets.length === 0) return [];
  return [
    'ip daddr @own_networks goto refuse',
    'fib daddr type != unicast goto refuse',
    ...sets.flatMap(({ ports, names }) =>
      names.map((name) => `${portMatch(ports)}ip daddr @${name} goto pass`),
    ),
  ];
}

/** One rule for each port or range, so that no sets of addresses and ports overlap. */
function entryRules(
  entries: readonly NetworkEntry[],
  target: 'pass' | 'refuse',
): readonly string[] {
  const byPorts = new Map<string, { ports: PortRange | null; networks: NetworkEntry[] }>();
  for (const entry of entries) {
    const group = byPorts.get(portsText(entry.ports)) ?? { ports: entry.ports, networks: [] };
    group.networks.push(entry);
    byPorts.set(portsText(entry.ports), group);
  }
  return [...byPorts.values()].map(
    ({ ports, networks }) =>
      `${portMatch(ports)}ip daddr { ${disjoint(networks).join(', ')} } goto ${target}`,
  );
}

function portMatch(ports: PortRange | null): string {
  return ports === null ? '' : `meta l4proto { tcp, udp } th dport ${portsText(ports)} `;
}

/** Empty for every port. */
function portsText(ports: PortRange | null): string {
  if (ports === null) return '';
  return ports.first === ports.last ? String(ports.first) : `${ports.first}-${ports.last}`;
}

/** nft refuses a set with networks that contain each other. */
function disjoint(entries: readonly NetworkEntry[]): readonly string[] {
  const sorted = entries
    .map(({ network }) => network)
    .sort((one, other) => one.prefixLength - other.prefixLength || one.base - other.base);
  const kept: typeof sorted = [];
  for (const network of sorted) {
    if (!kept.some((larger) => coversNetwork(larger, network))) kept.push(network);
  }
  return kept.map(formatNetwork);
}
