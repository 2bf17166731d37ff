// engine, network: compares the kernel's state of the guests' network with the wanted one. Pure. Each difference is one
// thing, with its remedy.

import { policyIdOf } from '../../lib/net/egress.ts';
import type {
  EgressEntrySeen,
  FilterEntry,
  Forward,
  GuestIdentity,
  SeenNetwork,
  WantedGuest,
  WantedNetwork,
} from '../ports/network-ports.ts';

export type NetworkDifferenceKind =
  | 'bridge-missing'
  | 'bridge-down'
  | 'bridge-address-missing'
  | 'forwarding-off'
  | 'nat-missing'
  | 'nat-changed'
  | 'filter-missing'
  | 'filter-changed'
  | 'filter-entry-missing'
  | 'filter-entry-stray'
  | 'egress-missing'
  | 'egress-changed'
  | 'egress-entry-wrong'
  | 'egress-entry-stray'
  | 'ports-missing'
  | 'ports-changed'
  | 'shard-broken'
  | 'tap-missing'
  | 'tap-loose'
  | 'tap-down';

/** Only `restart-vm` is left to the operator: a running hypervisor cannot be given another tap. */
export type NetworkRemedy =
  | 'make-network'
  | 'make-filter'
  | 'make-egress'
  | 'make-ports'
  | 'make-shard'
  | 'join-tap'
  | 'restart-vm';

export interface NetworkDifference {
  readonly kind: NetworkDifferenceKind;
  /** The bridge, tap, table or port that differs. */
  readonly subject: string;
  /** The VM concerned; null if it is all of them, or none. */
  readonly vmId: number | null;
  readonly remedy: NetworkRemedy;
}

/** All differences; empty if there is none. */
export function networkDifferences(
  wanted: WantedNetwork,
  seen: SeenNetwork,
): readonly NetworkDifference[] {
  return [...differencesInParts(wanted, seen)].flat();
}

/** As networkDifferences, in parts: with thousands of guests each part takes milliseconds. */
export function* differencesInParts(
  wanted: WantedNetwork,
  seen: SeenNetwork,
): Generator<readonly NetworkDifference[]> {
  if (wanted.isNeeded) yield [...bridgeDifferences(wanted, seen), ...ruleDifferences(seen)];
  // A missing filter is one difference, not one for each guest.
  if (wanted.antiSpoofing && seen.filter.rules !== 'missing') {
    yield blockedGuests(wanted, seen);
    yield strayEntries(wanted, seen);
    yield takenDifferences(wanted, seen);
  }
  yield egressDifferences(wanted, seen);
  yield portDifferences(wanted, seen);
  yield secondaryBridgeDifferences(wanted, seen);
  yield tapDifferences(wanted, seen);
}

/** The identity of a difference, to recognize it in a later check. */
export function keyOf({ kind, subject, vmId }: NetworkDifference): string {
  return `${kind} ${subject} ${vmId}`;
}

const ofHost = (
  kind: NetworkDifferenceKind,
  subject: string,
  remedy: NetworkRemedy,
): NetworkDifference => ({ kind, subject, vmId: null, remedy });

function bridgeDifferences({ spec }: WantedNetwork, seen: SeenNetwork): NetworkDifference[] {
  const { bridge } = seen;
  const found: NetworkDifference[] = [];
  const add = (kind: NetworkDifferenceKind, subject: string) =>
    found.push(ofHost(kind, subject, 'make-network'));
  const address = `${spec.hostIp}/${spec.prefixLength}`;
  if (bridge === null) add('bridge-missing', spec.bridge);
  else {
    if (!bridge.isUp) add('bridge-down', spec.bridge);
    if (!bridge.addresses.includes(address)) add('bridge-address-missing', address);
  }
  if (!seen.ipForward) add('forwarding-off', 'net.ipv4.ip_forward');
  return found;
}

function ruleDifferences({ nat, filter }: SeenNetwork): NetworkDifference[] {
  const found: NetworkDifference[] = [];
  if (nat !== 'right') found.push(ofHost(`nat-${nat}`, 'NAT', 'make-network'));
  if (filter.rules !== 'right') {
    found.push(ofHost(`filter-${filter.rules}`, 'filter', 'make-filter'));
  }
  return found;
}

/** Guests whose frames the filter does not let pass. */
function blockedGuests({ guests }: WantedNetwork, { filter }: SeenNetwork): NetworkDifference[] {
  const passing = byTap(filter.entries);
  const owned = byTap(filter.owners);
  const taken = new Set(filter.taken);
  const isBlocked = (guest: GuestIdentity) => {
    const { tapName, macAddress, ipAddress } = guest;
    const entries = passing.get(tapName) ?? [];
    const isComplete = addressesOf(guest).every((address) =>
      entries.some((entry) => entry.macAddress === macAddress && entry.ipAddress === address),
    );
    const isOwner =
      ipAddress === null ||
      (taken.has(ipAddress) &&
        (owned.get(tapName) ?? []).some((owner) => owner.ipAddress === ipAddress));
    return !(isComplete && isOwner);
  };
  return guests
    .filter(({ guest, isAlive }) => isAlive && isBlocked(guest))
    .map(({ vmId, guest }) => ({
      kind: 'filter-entry-missing',
      subject: guest.tapName,
      vmId,
      remedy: 'make-filter',
    }));
}

/** Taps whose frames the filter lets pass although no guest has them, or not with these addresses. */
function strayEntries({ guests }: WantedNetwork, { filter }: SeenNetwork): NetworkDifference[] {
  const byName = new Map(guests.map(({ guest }) => [guest.tapName, guest]));
  const strays = new Set<string>();
  for (const { tapName, macAddress, ipAddress } of filter.entries) {
    const guest = byName.get(tapName);
    const isGuests = guest?.macAddress === macAddress && addressesOf(guest).includes(ipAddress);
    if (!isGuests) strays.add(tapName);
  }
  for (const { tapName, ipAddress } of filter.owners) {
    if (byName.get(tapName)?.ipAddress !== ipAddress) strays.add(tapName);
  }
  return [...strays].map((tapName) => ofHost('filter-entry-stray', tapName, 'make-filter'));
}

function byTap<T extends { readonly tapName: string }>(items: readonly T[]): Map<string, T[]> {
  const found = new Map<string, T[]>();
  for (const item of items) {
    const those = found.get(item.tapName);
    if (those === undefined) found.set(item.tapName, [item]);
    else those.push(item);
  }
  return found;
}

function takenDifferences(
  { spec, isNeeded, guests }: WantedNetwork,
  seen: SeenNetwork,
): NetworkDifference[] {
  // A repair of the bridge makes the filter again, too.
  if (!isNeeded || seen.bridge === null || seen.filter.rules !== 'right') return [];
  const ofBridge = seen.bridge.addresses.map((address) => address.split('/')[0] ?? '');
  const allowed = new Set([
    spec.hostIp,
    ...ofBridge,
    ...guests.map(({ guest }) => guest.ipAddress),
  ]);
  const taken = new Set(seen.filter.taken);
  const isRight =
    ofBridge.every((address) => taken.has(address)) &&
    seen.filter.taken.every((address) => allowed.has(address));
  return isRight ? [] : [ofHost('filter-changed', 'filter', 'make-filter')];
}

/** A guest that asks for a DHCP lease sends from 0.0.0.0 until it has one. */
function addressesOf({
  ipAddress,
  asksForLease,
}: GuestIdentity): readonly FilterEntry['ipAddress'][] {
  return asksForLease ? [ipAddress, '0.0.0.0'] : [ipAddress];
}

function egressDifferences(wanted: WantedNetwork, seen: SeenNetwork): NetworkDifference[] {
  const { egress } = seen;
  if (wanted.isNeeded && egress.rules !== 'right') {
    return [ofHost(`egress-${egress.rules}`, 'egress rules', 'make-egress')];
  }
  if (egress.rules === 'missing') return [];
  const entries = new Map(egress.entries.map((entry) => [entry.tapName, entry]));
  const held = wanted.guests.filter(({ guest }) => guest.egress !== undefined);
  const known = new Set(held.map(({ guest }) => guest.tapName));
  // One table is read after the other: of a guest that leaves in between only the address is seen.
  const addresses = new Set(held.map(({ guest }) => guest.ipAddress));
  const wrong = held.filter(({ guest, isAlive }) => isAlive && !isHeld(guest, entries));
  return [
    ...wrong.map(
      ({ vmId, guest }): NetworkDifference => ({
        kind: 'egress-entry-wrong',
        subject: guest.tapName,
        vmId,
        remedy: 'make-egress',
      }),
    ),
    ...egress.entries
      .filter(({ tapName, ipAddress }) =>
        tapName === '' ? !addresses.has(ipAddress) : !known.has(tapName),
      )
      .map(({ tapName, ipAddress }) =>
        ofHost('egress-entry-stray', tapName || ipAddress, 'make-egress'),
      ),
  ];
}

/** Whether the kernel holds the guest to the rules that it shall have. */
function isHeld(
  { tapName, ipAddress, egress }: GuestIdentity,
  entries: ReadonlyMap<string, EgressEntrySeen>,
): boolean {
  const entry = entries.get(tapName);
  return (
    egress !== undefined && entry?.ipAddress === ipAddress && entry?.policyId === policyIdOf(egress)
  );
}

function portDifferences(wanted: WantedNetwork, seen: SeenNetwork): NetworkDifference[] {
  if (wanted.forwards === null) return [];
  // Ports whose guests are all reached through their agents have no rules in the kernel.
  const forwards = wanted.forwards.filter(({ targets }) => targets.length > 0);
  const { ports, routeLocalnet } = seen;
  if (forwards.length === 0) {
    return ports.rules === 'changed' ? [ofHost('ports-changed', 'host ports', 'make-ports')] : [];
  }
  if (ports.rules === 'missing') return [ofHost('ports-missing', 'host ports', 'make-ports')];
  const isRight =
    ports.rules === 'right' && routeLocalnet && portsText(forwards) === portsText(ports.forwards);
  return isRight ? [] : [ofHost('ports-changed', 'host ports', 'make-ports')];
}

/** The order of a port's targets does not matter. */
function portsText(forwards: readonly Forward[]): string {
  const lines = forwards.map(({ protocol, hostPort, targets }) => {
    const to = targets.map(({ address, port }) => `${address}:${port}`).sort();
    return `${protocol} ${hostPort} ${to.join(' ')}`;
  });
  return lines.sort().join('\n');
}

/** A missing secondary bridge shows as its loose taps, whose repair makes it again. */
function secondaryBridgeDifferences(
  { guests }: WantedNetwork,
  seen: SeenNetwork,
): NetworkDifference[] {
  const used = new Set(seen.taps.map(({ bridgeNumber }) => bridgeNumber));
  const isAnyAlive = guests.some(({ isAlive }) => isAlive);
  return seen.secondaryBridges.flatMap(({ bridgeNumber, isWhole }) =>
    isAnyAlive && used.has(bridgeNumber) && !isWhole
      ? [ofHost('shard-broken', String(bridgeNumber), 'make-shard')]
      : [],
  );
}

/** Taps without a VM are found by the audit, with everything else that a VM may leave on the host. */
function tapDifferences({ guests }: WantedNetwork, seen: SeenNetwork): NetworkDifference[] {
  const taps = new Map(seen.taps.map((tap) => [tap.name, tap]));
  return guests.flatMap((wanted) =>
    wanted.isAlive ? tapDifference(wanted, taps.get(wanted.guest.tapName)) : [],
  );
}

function tapDifference(
  { vmId, guest, bridgeNumber }: WantedGuest,
  tap: SeenNetwork['taps'][number] | undefined,
): NetworkDifference[] {
  const subject = guest.tapName;
  if (tap === undefined) return [{ kind: 'tap-missing', subject, vmId, remedy: 'restart-vm' }];
  // It is not known here which bridge a guest without a known address was put on; it is never the first one.
  const isPlaced =
    bridgeNumber === null
      ? tap.bridgeNumber !== null && tap.bridgeNumber > 0
      : tap.bridgeNumber === bridgeNumber;
  if (!isPlaced) return [{ kind: 'tap-loose', subject, vmId, remedy: 'join-tap' }];
  return tap.isUp ? [] : [{ kind: 'tap-down', subject, vmId, remedy: 'join-tap' }];
}
