// jobs, network, egress: writes, changes and reads the tables of egress rules, and cuts connections that the rules forbid. The
// text of the tables is in tables.ts. The resolvers that look names up are in resolvers.ts.

import type {
  EgressCount,
  EgressEntrySeen,
  NetworkSpec,
} from '../../../../engine/ports/network-ports.ts';
import { type EgressPolicy, policyIdOf, policyOf } from '../../../../lib/net/egress.ts';
import { parseCidr, parseIpv4 } from '../../../../lib/net/ipv4.ts';
import { native } from '../../native.ts';
import type { EgressReading, HostSettings, JobArgument, JobResult } from '../../protocol.ts';
import { spawnProgram } from '../../run-program.ts';
import { readNameServers } from '../name-servers.ts';
import { nft } from '../nft.ts';
import { digestOf, elementsOf, type NftObject, readObject, readTables } from '../nft-tables.ts';
import { changeText } from './change-text.ts';
import { learnedSetsOf } from './policy-text.ts';
import {
  egressTableOf,
  isLearnedSet,
  isPolicyChain,
  type Kept,
  policiesOf,
  tablesText,
} from './tables.ts';
import { isAllowed } from './verdict.ts';

const WHAT = 'Egress rules';
/** A thousand different policies take a second to write, and much longer on a host that is busy. */
const MAKE_TIMEOUT_MS = 60_000;
/** So many new policies are read back one by one. The whole table is read for more of them. */
const READ_ONE_BY_ONE_MAX = 8;

type Objects = readonly NftObject[] | null;

/** Writes the tables for exactly these guests. What was counted and what names led to is kept. */
export function makeEgress({
  settings,
  spec,
  guests,
  resolvers,
}: JobArgument<'makeEgress'>): JobResult<'makeEgress'> {
  const { hostTag } = settings;
  const before = readEgressTables(hostTag);
  const bridgeMac = macOf(spec.bridge);
  const facts = { hostTag, spec, bridgeMac, nameServers: nameServersOf(settings, spec) };
  nft(tablesText(facts, guests, resolvers, keptOf(before)), WHAT, MAKE_TIMEOUT_MS);
  return readingOf(readEgressTables(hostTag), bridgeMac);
}

/** Replaces guests by others and returns the digests of the policies that are new. Open connections are kept. */
export function changeEgress({
  settings,
  spec,
  left,
  admitted,
  staying,
  resolvers,
}: JobArgument<'changeEgress'>): JobResult<'changeEgress'> {
  const table = egressTableOf(settings.hostTag);
  const lookUps = { resolvers, nameServers: nameServersOf(settings, spec) };
  const { text, added } = changeText(table, { left, admitted, staying }, lookUps);
  if (text !== '') nft(text, WHAT);
  const ids = new Set(added);
  const policies = policiesOf(admitted).filter(({ id }) => ids.has(id));
  return policiesIn(objectsOf(table, policies)).filter(({ id }) => ids.has(id));
}

/** The chains and sets of these policies, perhaps with others. */
function objectsOf(table: string, policies: readonly EgressPolicy[]): readonly NftObject[] {
  if (policies.length > READ_ONE_BY_ONE_MAX) return readTables([`ip ${table}`])[0] ?? [];
  return policies.flatMap((policy) => [
    ...(readObject('chain', `ip ${table}`, policy.id) ?? []),
    ...learnedObjects(table, [policy]),
  ]);
}

function learnedObjects(table: string, policies: readonly EgressPolicy[]): readonly NftObject[] {
  const names = policies.flatMap(learnedSetsOf).flatMap(({ names: pair }) => pair);
  return names.flatMap((name) => readObject('set', `ip ${table}`, name) ?? []);
}

/**
 * Ends the connections of guests that their rules do not allow any more, by removing them from connection tracking: the next
 * packet of each is refused. Returns how many there were.
 */
export function cutConnections({
  settings,
  spec,
  guests,
}: JobArgument<'cutConnections'>): JobResult<'cutConnections'> {
  if (guests.length === 0) return 0;
  const flows = native.flowsFrom(guests.map(({ ipAddress }) => ipAddress));
  if (flows.length === 0) return 0;
  const policies = new Map(policiesOf(guests).map((policy) => [policy.id, policy]));
  const byAddress = new Map(
    guests.map(({ ipAddress, rules }) => [
      parseIpv4(ipAddress) ?? 0,
      policies.get(policyIdOf(rules)),
    ]),
  );
  const learned = learnedObjects(egressTableOf(settings.hostTag), [...policies.values()]);
  const facts = {
    nameServers: numbersOf(nameServersOf(settings, spec)),
    ownNetworks: [parseCidr(spec.subnet), parseCidr('127.0.0.0/8')].flatMap((one) => one ?? []),
    learned: learnedIn(learned),
  };
  const forbidden = flows.filter(({ source, ...connection }) => {
    const policy = byAddress.get(source);
    return policy !== undefined && !isAllowed(policy, connection, facts);
  });
  if (forbidden.length > 0) native.flowsDelete(forbidden.map(({ name }) => name));
  return forbidden.length;
}

/** Packets and bytes of each guest with rules since its rules were made. */
export function countEgress({ settings }: JobArgument<'countEgress'>): JobResult<'countEgress'> {
  const table = `ip ${egressTableOf(settings.hostTag)}` as const;
  const [passed, refused] = (['passed', 'refused'] as const).map((name) =>
    countsIn(readObject('set', table, name), name),
  );
  const none = { packets: 0, bytes: 0 };
  return [...(passed ?? [])].map(([ipAddress, { packets, bytes }]): EgressCount => {
    const { packets: refusedPackets, bytes: refusedBytes } = refused?.get(ipAddress) ?? none;
    return { ipAddress, packets, bytes, refusedPackets, refusedBytes };
  });
}

/** Empties one of the two sets of each pair of learned addresses. A set that is gone is no error. */
export function emptyLearned({
  settings,
  policies,
  turn,
}: JobArgument<'emptyLearned'>): JobResult<'emptyLearned'> {
  const table = egressTableOf(settings.hostTag);
  const [ip = null] = readTables([`ip ${table}`]);
  const there = new Set((ip ?? []).map(({ set }) => set?.['name']));
  const names = policies
    .map(policyOf)
    .flatMap(learnedSetsOf)
    .map(({ names: pair }) => pair[turn])
    .filter((name) => there.has(name));
  if (names.length > 0) {
    nft(names.map((name) => `flush set ip ${table} ${name}\n`).join(''), WHAT);
  }
  return null;
}

/** Reads the tables, for a comparison with what was written. */
export function egressReading(
  tables: readonly [Objects, Objects],
  spec: NetworkSpec,
): EgressReading {
  return readingOf(tables, macOf(spec.bridge));
}

function readEgressTables(hostTag: string): readonly [Objects, Objects] {
  const table = egressTableOf(hostTag);
  const [ip = null, bridge = null] = readTables([`ip ${table}`, `bridge ${table}`]);
  return [ip, bridge];
}

/** Name servers that guests may ask: those of their configuration, and the host. */
function nameServersOf({ nameServers }: HostSettings, { hostIp }: NetworkSpec): readonly string[] {
  const configured = nameServers.length > 0 ? nameServers : readNameServers();
  return [...new Set([hostIp, ...configured])];
}

/** The bridge's MAC address is part of the rules. Empty when there is no bridge. */
function macOf(bridge: string): string {
  const { status, stdout } = spawnProgram('ip', ['-o', 'link', 'show', 'dev', bridge]);
  if (status !== 0) return '';
  return /link\/ether ([0-9a-f:]{17})/.exec(stdout)?.[1] ?? '';
}

function readingOf([ip, bridge]: readonly [Objects, Objects], bridgeMac: string): EgressReading {
  const [ipRules, bridgeRules] = [digestOf(ip, isOfPolicy), digestOf(bridge)];
  const isMissing = ipRules === null || bridgeRules === null;
  return {
    rules: isMissing ? null : `${ipRules} ${bridgeRules} ${bridgeMac}`,
    policies: policiesIn(ip),
    entries: entriesIn(ip, bridge),
  };
}

/** Objects that come and go with policies. */
function isOfPolicy({ chain, rule, set }: NftObject): boolean {
  return (
    isPolicyChain(chain?.['name']) || isPolicyChain(rule?.['chain']) || isLearnedSet(set?.['name'])
  );
}

function policiesIn(ip: Objects): EgressReading['policies'] {
  const objects = new Map<string, NftObject[]>();
  for (const object of ip ?? []) {
    const { chain, rule, set } = object;
    const name = String(chain?.['name'] ?? rule?.['chain'] ?? set?.['name'] ?? '');
    if (!isOfPolicy(object)) continue;
    const [id = ''] = name.split('_');
    objects.set(id, [...(objects.get(id) ?? []), object]);
  }
  // The order of objects depends on how they were read. That of rules is kept.
  const orderOf = ({ chain, rule, set }: NftObject) =>
    chain !== undefined ? '0' : rule !== undefined ? '1' : `2${set?.['name']}`;
  return [...objects].map(([id, own]) => {
    const sorted = own.toSorted((one, other) => orderOf(one).localeCompare(orderOf(other)));
    return { id, digest: digestOf(sorted) ?? '' };
  });
}

/** A guest whose address lacks in one of the sets has no policy here. */
function entriesIn(ip: Objects, bridge: Objects): readonly EgressEntrySeen[] {
  const policies = new Map(
    elementsOf(ip, 'policies').map((element) => {
      const [address, verdict] = element as [string, { goto?: { target: string } }];
      return [address, verdict.goto?.target ?? null];
    }),
  );
  const [guests, taps, addresses] = [
    new Set(elementsOf(ip, 'guests').map(String)),
    new Set(elementsOf(bridge, 'taps').map(String)),
    new Set(elementsOf(bridge, 'addresses').map(String)),
  ];
  const senders = elementsOf(bridge, 'senders').map((element) => {
    const [tapName = '', ipAddress = ''] = (element as { concat: readonly string[] }).concat;
    return { tapName, ipAddress };
  });
  const sending = new Set(senders.map(({ ipAddress }) => ipAddress));
  return [
    ...senders.map(({ tapName, ipAddress }) => {
      const isWhole = guests.has(ipAddress) && taps.has(tapName) && addresses.has(ipAddress);
      return { tapName, ipAddress, policyId: isWhole ? (policies.get(ipAddress) ?? null) : null };
    }),
    ...[...policies.keys()]
      .filter((address) => !sending.has(address))
      .map((ipAddress) => ({ tapName: '', ipAddress, policyId: null })),
  ];
}

type Counted = { readonly val: string; readonly counter?: { packets: number; bytes: number } };

function countsIn(ip: Objects, set: string) {
  return new Map(
    elementsOf(ip, set).map((element) => {
      const { val, counter } = (element as { elem: Counted }).elem;
      return [val, counter ?? { packets: 0, bytes: 0 }];
    }),
  );
}

type Learned = { readonly val: string; readonly timeout?: number; readonly expires?: number };

/** Elements as they are written again. */
function keptOf([ip]: readonly [Objects, Objects]): Kept {
  return {
    elements: (name) => {
      if (!isLearnedSet(name)) {
        return [...countsIn(ip, name)].map(
          ([address, { packets, bytes }]) => `${address} counter packets ${packets} bytes ${bytes}`,
        );
      }
      return elementsOf(ip, name).map((element) => {
        const { val, timeout = 1, expires = 1 } = (element as { elem: Learned }).elem;
        return `${val} timeout ${timeout}s expires ${Math.max(1, expires)}s`;
      });
    },
  };
}

function learnedIn(ip: Objects): (setName: string) => ReadonlySet<number> {
  const known = new Map<string, ReadonlySet<number>>();
  return (name) => {
    const cached = known.get(name);
    if (cached !== undefined) return cached;
    const values = elementsOf(ip, name).map((element) =>
      typeof element === 'string' ? element : (element as { elem: Learned }).elem.val,
    );
    const numbers = numbersOf(values);
    known.set(name, numbers);
    return numbers;
  };
}

function numbersOf(addresses: readonly string[]): ReadonlySet<number> {
  return new Set(addresses.flatMap((address) => parseIpv4(address) ?? []));
}
