// jobs, network, egress: the text of the two tables that hold guests to their egress rules. Pure. One is of IP: it decides
// about connections. The other is of bridges: it sends what goes directly from guest to guest by way of the host, where the
// first one sees it. The chain of one policy is in policy-text.ts.

import { LIMITS } from '../../../../config/limits.ts';
import type { EgressGuest, NetworkSpec } from '../../../../engine/ports/network-ports.ts';
import {
  type EgressPolicy,
  formatNetwork,
  METADATA_NETWORK,
  policyIdOf,
  policyOf,
} from '../../../../lib/net/egress.ts';
import type { ResolverPort } from '../../protocol.ts';
import { learnedSetTexts, policyRules } from './policy-text.ts';

/** How a policy's chain begins: other chains of the table have other names. */
export const isPolicyChain = (name: unknown): boolean => /^p[0-9a-f]{20}$/.test(String(name));

/** A set of learned addresses is named after its policy. */
export const isLearnedSet = (name: unknown): boolean => /^p[0-9a-f]{20}_/.test(String(name));

export const egressTableOf = (hostTag: string): string => `volant_${hostTag}_egress`;

/** What the tables had before they are written again. */
export interface Kept {
  /** Elements of counting sets and of learned addresses, as nft reads them. */
  readonly elements: (setName: string) => readonly string[];
}

export interface TableFacts {
  readonly hostTag: string;
  readonly spec: NetworkSpec;
  readonly bridgeMac: string;
  readonly nameServers: readonly string[];
}

/** The policies of guests, each once. */
export function policiesOf(guests: readonly EgressGuest[]): readonly EgressPolicy[] {
  const byId = new Map(guests.map(({ rules }) => [policyIdOf(rules), rules]));
  return [...byId.values()].map(policyOf);
}

/** Both tables, in place of those that exist. */
export function tablesText(
  facts: TableFacts,
  guests: readonly EgressGuest[],
  resolvers: readonly ResolverPort[],
  kept: Kept,
): string {
  const table = egressTableOf(facts.hostTag);
  // Adding first makes the deletion succeed in any case.
  return `add table ip ${table}
delete table ip ${table}
add table bridge ${table}
delete table bridge ${table}
${ipTable(table, facts, guests, resolvers, kept)}
${bridgeTable(table, facts, guests)}
`;
}

const listed = (elements: readonly string[]) =>
  elements.length === 0 ? '' : `elements = { ${elements.join(', ')} };`;

/** A set of counting elements, one for each guest, with the counts that the set had before. */
function countingElements(guests: readonly EgressGuest[], before: readonly string[]): string {
  const addresses = new Set(guests.map(({ ipAddress }) => ipAddress));
  const counts = new Map(before.map((text) => [text.split(' ')[0] ?? '', text]));
  return listed([...addresses].map((address) => counts.get(address) ?? address));
}

/** The map from a guest's address to the port of the resolver of its policy. */
export function resolverElements(
  guests: readonly EgressGuest[],
  resolvers: readonly ResolverPort[],
): readonly string[] {
  const ports = new Map(resolvers.map(({ policyId, port }) => [policyId, port]));
  return guests.flatMap(({ ipAddress, rules }) => {
    const port = ports.get(policyIdOf(rules));
    return port === undefined ? [] : [`${ipAddress} : ${port}`];
  });
}

export const policyElement = ({ ipAddress, rules }: EgressGuest): string =>
  `${ipAddress} : goto ${policyIdOf(rules)}`;

/**
 * - The chain of the rules comes before address translation, so rules are about the address that the guest uses: for a
 *   published port the host's. Connection tracking comes before: it tells the answers of a guest from what it begins.
 * - Nobody but a published port or a guest's own connection can make an entry of connection tracking out of the middle of a
 *   TCP connection. Otherwise the other side of a connection that was ended would open it again by its next segment, and what
 *   the guest sends would count as an answer.
 * - The resolvers listen on ports of the host's address, and only what was led to them gets there.
 */
function ipTable(
  table: string,
  { spec, nameServers }: TableFacts,
  guests: readonly EgressGuest[],
  resolvers: readonly ResolverPort[],
  kept: Kept,
): string {
  const { bridge, hostIp, subnet } = spec;
  const policies = policiesOf(guests);
  const addresses = guests.map(({ ipAddress }) => ipAddress);
  const metadata = formatNetwork(METADATA_NETWORK);
  const rate = LIMITS.egressLookUpsPerSecondMax;
  return `table ip ${table} {
  set passed {
    type ipv4_addr; counter;
    ${countingElements(guests, kept.elements('passed'))}
  }
  set refused {
    type ipv4_addr; counter;
    ${countingElements(guests, kept.elements('refused'))}
  }
  set guests {
    type ipv4_addr;
    ${listed(addresses)}
  }
  set own_networks {
    type ipv4_addr; flags interval;
    elements = { ${subnet}, 127.0.0.0/8 };
  }
  set name_servers {
    type ipv4_addr;
    ${listed(nameServers)}
  }
  set look_ups {
    type ipv4_addr; size 65535; flags dynamic,timeout; timeout 10s;
  }
  set resolver_ports {
    type inet_service;
    ${listed(resolvers.map(({ port }) => String(port)))}
  }
  map resolvers {
    type ipv4_addr : inet_service;
    ${listed(resolverElements(guests, resolvers))}
  }
  ${policies
    .flatMap((policy) =>
      learnedSetTexts(policy, LIMITS.egressAddressesLearnedMax, (name) =>
        listed(kept.elements(name)),
      ),
    )
    .join('\n  ')}
  chain pass {
    ip saddr @passed
    accept
  }
  chain refuse {
    ip saddr @refused
    meta l4proto tcp reject with tcp reset
    reject with icmp type admin-prohibited
  }
  chain look_up {
    update @look_ups { ip saddr limit rate over ${rate}/second burst ${rate} packets } goto refuse
    goto pass
  }
  ${policies.map((policy) => chainText(policy)).join('\n  ')}
  map policies {
    type ipv4_addr : verdict;
    ${listed(guests.map(policyElement))}
  }
  chain prerouting {
    type filter hook prerouting priority mangle; policy accept;
    iifname != "${bridge}" accept
    udp sport 68 udp dport 67 ip daddr { ${hostIp}, 255.255.255.255 } accept
    ip saddr vmap @policies
    ip daddr ${metadata} fib daddr type != local goto refuse
  }
  chain look_ups_to_resolver {
    type nat hook prerouting priority dstnat - 5; policy accept;
    iifname "${bridge}" ip daddr @name_servers meta l4proto { tcp, udp } th dport 53 redirect to :ip saddr map @resolvers
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname != "lo" ip daddr ${hostIp} meta l4proto { tcp, udp } th dport @resolver_ports ct original proto-dst != 53 drop
  }
  chain postrouting {
    type filter hook postrouting priority filter; policy accept;
    oifname "${bridge}" ip daddr @guests ct state new tcp flags & (fin | syn | rst | ack) != syn drop
  }
}`;
}

export function chainText(policy: EgressPolicy): string {
  return `chain ${policy.id} {
    ${policyRules(policy).join('\n    ')}
  }`;
}

/**
 * Frames of guests with rules, and frames for them, are addressed to the host, which routes them. So the host sees both
 * directions of every connection. What comes from the host to a secondary bridge is on its way already. The chain comes before
 * that of isolated guests, which then sees a packet for another guest that was addressed to the host. ARP stays as it is.
 */
function bridgeTable(
  table: string,
  { hostTag, bridgeMac }: TableFacts,
  guests: readonly EgressGuest[],
): string {
  return `table bridge ${table} {
  set taps {
    type ifname;
    ${listed(guests.map(tapElement))}
  }
  set senders {
    type ifname . ipv4_addr;
    ${listed(guests.map(senderElement))}
  }
  set addresses {
    type ipv4_addr;
    ${listed(guests.map(({ ipAddress }) => ipAddress))}
  }
  chain prerouting {
    type filter hook prerouting priority filter - 10; policy accept;
    iifname @taps jump sender
    iifname "vu${hostTag}-*" accept
    iifname "vd${hostTag}-*" accept
    ip daddr @addresses jump by_host
  }
  chain sender {
    ether type arp accept
    ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept
    iifname . ip saddr @senders goto by_host
    drop
  }
  chain by_host {
    meta pkttype set host
    ether daddr set ${bridgeMac}
    accept
  }
  chain forward {
    type filter hook forward priority filter - 10; policy accept;
    iifname @taps ether type != arp oifname != "vd${hostTag}-*" drop
  }
}`;
}

export const tapElement = ({ tapName }: EgressGuest): string => `"${tapName}"`;

export const senderElement = ({ tapName, ipAddress }: EgressGuest): string =>
  `"${tapName}" . ${ipAddress}`;
