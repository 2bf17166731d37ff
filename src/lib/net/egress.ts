// lib, net: entries of egress rules: parsing, normal form, and what an entry covers. Pure. What a guest's rules do with its
// packets is in host/jobs/network/egress; the rules for what a client may send are in schema/rules/egress-rules.ts.

import { createHash } from 'node:crypto';
import { domainToASCII } from 'node:url';
import { contains, formatIpv4, type Ipv4Network, maskOf, parseIpv4 } from './ipv4.ts';

/** Inclusive at both ends. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Addresses. Without ports it means every protocol, with ports TCP and UDP. */
export interface NetworkEntry {
  readonly kind: 'network';
  readonly network: Ipv4Network;
  readonly ports: PortRange | null;
}

/** A name in ASCII and lower case. A wildcard means every name below it, and not the name itself. */
export interface NameEntry {
  readonly kind: 'name';
  readonly name: string;
  readonly isWildcard: boolean;
  readonly ports: PortRange | null;
}

export type EgressEntry = NetworkEntry | NameEntry;

/** The rules of one guest, with entries in normal form. An entry of `deny` counts before all of `allow`. */
export interface EgressRules {
  readonly default: 'allow' | 'deny';
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

/** The rules with their entries parsed. Guests with the same rules share one policy. */
export interface EgressPolicy {
  readonly id: string;
  readonly default: 'allow' | 'deny';
  readonly allow: readonly EgressEntry[];
  readonly deny: readonly EgressEntry[];
}

/** Link-local addresses. Clouds serve the host's credentials and metadata there. */
export const METADATA_NETWORK: Ipv4Network = { base: 0xa9fe0000, prefixLength: 16 };

const PORT_MAX = 65_535;
const NAME_CHARACTERS_MAX = 253;
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;
const WHAT =
  'must be an IPv4 address, a network such as 10.0.0.0/8 or a name such as *.example.org, and may end in a port or ports such as :443 or :8000-8100';

/** The entry that a text means, or what is wrong with the text. */
export function parseEgressEntry(text: string): EgressEntry | string {
  const given = text.trim();
  if (given === '') return 'must not be empty';
  // The conversion of IDNs would remove some of these.
  if (/[\s\p{C}]/u.test(given)) return WHAT;
  if (/:.*:/.test(given) || given.includes('[')) {
    return 'must not be an IPv6 address: guests have IPv4 only, and IPv6 is closed';
  }
  const [target = '', portText] = given.split(':');
  const ports = portText === undefined ? null : parsePorts(portText);
  if (typeof ports === 'string') return ports;
  if (/^[\d.]+(\/|$)/.test(target)) {
    const network = parseNetwork(target);
    return typeof network === 'string' ? network : { kind: 'network', network, ports };
  }
  return parseName(target, ports);
}

function parsePorts(text: string): PortRange | string {
  if (text.startsWith('//')) return `${WHAT}; no scheme and no path`;
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (match === null) return 'must end in a port such as :443, or in ports such as :8000-8100';
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  const isPort = (port: number) => port >= 1 && port <= PORT_MAX;
  if (!isPort(first) || !isPort(last)) return 'must have ports from 1 to 65535';
  if (first > last) return `must name the lower port first: ${last}-${first}`;
  return { first, last };
}

function parseNetwork(text: string): Ipv4Network | string {
  const [addressText = '', prefixText = '32', ...more] = text.split('/');
  const address = parseIpv4(addressText);
  if (address === null || more.length > 0) return WHAT;
  if (!/^\d{1,2}$/.test(prefixText) || Number(prefixText) > 32) {
    return 'must have a prefix length from 0 to 32';
  }
  const prefixLength = Number(prefixText);
  const base = (address & maskOf(prefixLength)) >>> 0;
  if (base !== address) {
    return `has bits beyond its prefix length: write ${formatIpv4(base)}/${prefixLength} for the network`;
  }
  return { base, prefixLength };
}

function parseName(text: string, ports: PortRange | null): NameEntry | string {
  if (text === '*') return 'must name what it means: for everything set default';
  if (text.includes('/')) return `${WHAT}; no scheme and no path`;
  const isWildcard = text.startsWith('*.');
  const given = (isWildcard ? text.slice(2) : text).replace(/\.$/, '');
  if (given.includes('*')) return 'must have its "*" alone in front, as in *.example.org';
  const name = domainToASCII(given).toLowerCase();
  const isName =
    name !== '' && name.length <= NAME_CHARACTERS_MAX && name.split('.').every(isLabel);
  // A text such as 0x7f.1 is an address for some programs.
  if (!isName || parseIpv4(name) !== null || /^[\d.]+$/.test(name)) return WHAT;
  return { kind: 'name', name, isWildcard, ports };
}

const isLabel = (label: string) => LABEL.test(label);

/** The normal form of an entry: IDNs in ASCII, no surrounding blanks, no prefix length for one address. */
export function formatEgressEntry(entry: EgressEntry): string {
  const { ports } = entry;
  const suffix =
    ports === null ? '' : `:${ports.first}${ports.last === ports.first ? '' : `-${ports.last}`}`;
  if (entry.kind === 'name') return `${entry.isWildcard ? '*.' : ''}${entry.name}${suffix}`;
  return `${formatNetwork(entry.network)}${suffix}`;
}

/** A network in CIDR notation, or one address. */
export function formatNetwork({ base, prefixLength }: Ipv4Network): string {
  return prefixLength === 32 ? formatIpv4(base) : `${formatIpv4(base)}/${prefixLength}`;
}

/** Whether everything that `inner` means is part of `outer`. */
export function covers(outer: EgressEntry, inner: EgressEntry): boolean {
  if (!coversPorts(outer.ports, inner.ports)) return false;
  if (outer.kind === 'network') {
    return inner.kind === 'network' && coversNetwork(outer.network, inner.network);
  }
  if (inner.kind === 'network') return false;
  if (outer.isWildcard) {
    return isBelow(inner.name, outer.name) || (inner.isWildcard && inner.name === outer.name);
  }
  return !inner.isWildcard && inner.name === outer.name;
}

/** Whether a name is another one's subdomain. */
export const isBelow = (name: string, parent: string) => name.endsWith(`.${parent}`);

/** Whether all addresses of `inner` are in `outer`. */
export function coversNetwork(outer: Ipv4Network, inner: Ipv4Network): boolean {
  return inner.prefixLength >= outer.prefixLength && contains(outer, inner.base);
}

function coversPorts(outer: PortRange | null, inner: PortRange | null): boolean {
  if (outer === null) return true;
  return inner !== null && inner.first >= outer.first && inner.last <= outer.last;
}

/** The policy of rules whose entries were checked. Throws for an entry that is wrong. */
export function policyOf(rules: EgressRules): EgressPolicy {
  const parsed = (texts: readonly string[]) =>
    texts.map((text) => {
      const entry = parseEgressEntry(text);
      if (typeof entry === 'string') throw new Error(`egress entry ${text} ${entry}`);
      return entry;
    });
  return {
    id: policyIdOf(rules),
    default: rules.default,
    allow: parsed(rules.allow),
    deny: parsed(rules.deny),
  };
}

/** The same for the same rules, in whatever order. Letters and digits, beginning with a letter. */
export function policyIdOf({ default: otherwise, allow, deny }: EgressRules): string {
  const text = JSON.stringify([otherwise, [...allow].sort(), [...deny].sort()]);
  return `p${createHash('sha256').update(text).digest('hex').slice(0, 20)}`;
}

/** Whether the policy names names, so that its guests' look-ups go to a resolver. */
export function hasNames({ allow, deny }: Pick<EgressPolicy, 'allow' | 'deny'>): boolean {
  return [...allow, ...deny].some(({ kind }) => kind === 'name');
}
