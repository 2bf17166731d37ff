// jobs, network, egress: the configuration of the resolver of one policy, for dnsmasq. Pure. It forwards look-ups of names that
// the policy allows, and puts their addresses into the policy's sets. All others are refused, so nothing leaves by a look-up.

import { LIMITS } from '../../../../config/limits.ts';
import { covers, type EgressPolicy, isBelow, type NameEntry } from '../../../../lib/net/egress.ts';
import { learnedSetsOf } from './policy-text.ts';

/** No answer has a longer time to live, so that a guest asks again before an address is closed. */
const TTL_SECONDS_MAX = LIMITS.egressLearnedMs / 1_000;
/** Look-ups that wait for an answer of the name servers. */
const FORWARDS_MAX = 512;

export interface ResolverFacts {
  readonly table: string;
  readonly address: string;
  readonly port: number;
  /** The name servers that are asked. */
  readonly upstreams: readonly string[];
}

const isName = (entry: { readonly kind: string }): entry is NameEntry => entry.kind === 'name';

/** The lines of dnsmasq.conf. */
export function resolverConfig(policy: EgressPolicy, facts: ResolverFacts): string {
  const { table, address, port, upstreams } = facts;
  const names = [...policy.allow, ...policy.deny].filter(isName);
  const mentioned = [...new Set(names.map(({ name }) => name))];
  const everything = policy.default === 'allow' ? upstreams.map((one) => `server=${one}`) : [];
  return [
    `port=${port}`,
    `listen-address=${address}`,
    'bind-interfaces',
    'no-resolv',
    'no-hosts',
    'no-poll',
    // An answer from the cache would not put its addresses into the sets.
    'cache-size=0',
    `max-ttl=${TTL_SECONDS_MAX}`,
    // Guests have IPv4 only.
    'filter-AAAA',
    `dns-forward-max=${FORWARDS_MAX}`,
    ...everything,
    ...mentioned.flatMap((name) => serverLines(policy, name, upstreams)),
    ...mentioned.flatMap((name) => setLines(policy, name, table)),
    '',
  ].join('\n');
}

/** Where look-ups of a name and of all names below it go that no other entry mentions. */
function serverLines(policy: EgressPolicy, name: string, upstreams: readonly string[]): string[] {
  const [self, below] = [isForwarded(policy, name, false), isForwarded(policy, name, true)];
  const lines = (pattern: string, isAllowed: boolean) =>
    isAllowed ? upstreams.map((one) => `server=/${pattern}/${one}`) : [`local=/${pattern}/`];
  if (self === below) return lines(name, self);
  return [...lines(name, self), ...lines(`*.${name}`, below)];
}

/** `isWildcard` is about the names below. */
function isForwarded(policy: EgressPolicy, name: string, isWildcard: boolean): boolean {
  const asked: NameEntry = { kind: 'name', name, isWildcard, ports: null };
  const means = (entries: EgressPolicy['allow']) =>
    entries.filter(isName).some((entry) => covers({ ...entry, ports: null }, asked));
  return !means(policy.deny) && (policy.default === 'allow' || means(policy.allow));
}

/** The sets that get the addresses of a name and of those below it. */
function setLines(policy: EgressPolicy, name: string, table: string): string[] {
  if (policy.default === 'allow') return [];
  const ports = policy.allow
    .filter(isName)
    .filter((entry) => entry.name === name || (entry.isWildcard && isBelow(name, entry.name)))
    .map((entry) => JSON.stringify(entry.ports));
  const sets = learnedSetsOf(policy)
    .filter((set) => ports.includes(JSON.stringify(set.ports)))
    .flatMap(({ names }) => names.map((set) => `4#ip#${table}#${set}`));
  return sets.length === 0 ? [] : [`nftset=/${name}/${sets.join(',')}`];
}
