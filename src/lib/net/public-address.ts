// lib, net: distinguishes public Internet addresses from those of this host, of private networks, and from reserved
// ones. Pure.

import { isIP } from 'node:net';
import { contains, type Ipv4Network, parseCidr, parseIpv4 } from './ipv4.ts';

interface Ipv6Network {
  readonly base: bigint;
  readonly prefixLength: number;
}

/** The IANA IPv4 Special-Purpose Address Registry (RFC 6890), multicast, and the reserved rest. */
const SPECIAL_IPV4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
].map((text): Ipv4Network => {
  const network = parseCidr(text);
  if (network === null) throw new RangeError(`${text} is not an IPv4 CIDR`);
  return network;
});

/** All IPv6 addresses that are assigned so far (RFC 4291, 2.4). Others belong to no public host. */
const GLOBAL_UNICAST = ipv6Network('2000::', 3);

/** Parts of it that are not public hosts, or embed another address: tunnels and 6to4. */
const SPECIAL_IPV6 = [
  ipv6Network('2001::', 23),
  ipv6Network('2001:db8::', 32),
  ipv6Network('2002::', 16),
  ipv6Network('3fff::', 20),
];

/** The prefix by which networks without IPv4 reach it (RFC 6052). The last 32 bits are the IPv4 address. */
const NAT64 = ipv6Network('64:ff9b::', 96);

/**
 * Whether the text is a public Internet address: not loopback, private, shared, link-local, unique-local, multicast,
 * unspecified, for documentation, or an IPv6 form of such an IPv4 address. false for a text that is not an address.
 */
export function isPublicAddress(text: string): boolean {
  if (isIP(text) === 4) return isPublicIpv4(parseIpv4(text));
  // A zone, as in fe80::1%eth0, means a local link. isIP accepts it, a URL does not.
  if (isIP(text) !== 6 || text.includes('%')) return false;
  const address = parseIpv6(text);
  if (contains6(NAT64, address)) return isPublicIpv4(Number(address & 0xffffffffn));
  const isGlobal = contains6(GLOBAL_UNICAST, address);
  return isGlobal && !SPECIAL_IPV6.some((network) => contains6(network, address));
}

/** Whether two texts mean one address, however they are written. */
export function isSameAddress(one: string, other: string): boolean {
  if (isIP(one) !== 6 || isIP(other) !== 6) return one === other;
  if (one.includes('%') || other.includes('%')) return one === other;
  return parseIpv6(one) === parseIpv6(other);
}

function isPublicIpv4(address: number | null): boolean {
  return address !== null && !SPECIAL_IPV4.some((network) => contains(network, address));
}

function ipv6Network(first: string, prefixLength: number): Ipv6Network {
  return { base: parseIpv6(first), prefixLength };
}

function contains6({ base, prefixLength }: Ipv6Network, address: bigint): boolean {
  const shift = BigInt(128 - prefixLength);
  return address >> shift === base >> shift;
}

/**
 * Returns the number of an IPv6 address without a zone. The URL parser normalises all notations to groups of hex
 * digits.
 */
function parseIpv6(text: string): bigint {
  const plain = new URL(`http://[${text}]`).hostname.slice(1, -1);
  const [left = [], right = []] = plain
    .split('::')
    .map((half) => half.split(':').filter((group) => group !== ''));
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0');
  const groups = [...left, ...zeros, ...right];
  return groups.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n);
}
