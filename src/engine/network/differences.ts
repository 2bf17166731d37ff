// engine, network: what the kernel has of the guests' network, compared with what is wanted. Pure. Each difference is one
// thing, named with what is done about it.

import type {
  FilterEntry,
  Forward,
  GuestIdentity,
  SeenNetwork,
  WantedGuest,
  WantedNetwork,
} from '../network-ports.ts';

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
  | 'ports-missing'
  | 'ports-changed'
  | 'shard-broken'
  | 'tap-missing'
  | 'tap-loose'
  | 'tap-down';

/** `restart-vm` is the only one that is the operator's: a hypervisor cannot be given another tap while it runs. */
export type NetworkRemedy =
  | 'make-network'
  | 'make-filter'
  | 'make-ports'
  | 'make-shard'
  | 'join-tap'
  | 'restart-vm';

export interface NetworkDifference {
  readonly kind: NetworkDifferenceKind;
  /** Bridge, tap, table or port that differs. */
  readonly subject: string;
  /** Of the VM that suffers; null where it is all of them, or none. */
  readonly vmId: number | null;
  readonly remedy: NetworkRemedy;
}

/** Nothing differs where this is empty. */
export function networkDifferences(
  wanted: WantedNetwork,
  seen: SeenNetwork,
): readonly NetworkDifference[] {
  return [
    ...(wanted.isNeeded ? [...bridgeDifferences(wanted, seen), ...ruleDifferences(seen)] : []),
    ...entryDifferences(wanted, seen),
    ...portDifferences(wanted, seen),
    ...shardDifferences(wanted, seen),
    ...tapDifferences(wanted, seen),
  ];
}

/** Two looks tell one difference by the same text. */
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

/** A filter that is missing as a whole is told once, and not again for each guest. */
function entryDifferences(wanted: WantedNetwork, seen: SeenNetwork): NetworkDifference[] {
  const { filter } = seen;
  if (!wanted.antiSpoofing || filter.rules === 'missing') return [];
  const passing = new Set(filter.entries.map(textOf));
  const taken = new Set(filter.taken);
  const missing = wanted.guests.filter(({ guest, isAlive }) => {
    const isComplete = entriesOf(guest).every((entry) => passing.has(textOf(entry)));
    const isTaken = guest.ipAddress === null || taken.has(guest.ipAddress);
    return isAlive && !(isComplete && isTaken);
  });
  const allowed = new Set(wanted.guests.flatMap(({ guest }) => entriesOf(guest).map(textOf)));
  const strays = filter.entries.filter((entry) => !allowed.has(textOf(entry)));
  return [
    ...missing.map(
      ({ vmId, guest }): NetworkDifference => ({
        kind: 'filter-entry-missing',
        subject: guest.tapName,
        vmId,
        remedy: 'make-filter',
      }),
    ),
    ...[...new Set(strays.map(({ tapName }) => tapName))].map((tapName) =>
      ofHost('filter-entry-stray', tapName, 'make-filter'),
    ),
    ...takenDifferences(wanted, seen),
  ];
}

function takenDifferences(
  { spec, isNeeded, guests }: WantedNetwork,
  seen: SeenNetwork,
): NetworkDifference[] {
  // With the bridge the filter is made anew.
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

/** Who asks for a lease has no address until it has one. */
function entriesOf({ tapName, macAddress, ipAddress, asksForLease }: GuestIdentity): FilterEntry[] {
  const entry = { tapName, macAddress, ipAddress };
  return asksForLease ? [entry, { ...entry, ipAddress: '0.0.0.0' }] : [entry];
}

const textOf = ({ tapName, macAddress, ipAddress }: FilterEntry) =>
  `${tapName} ${macAddress} ${ipAddress}`;

function portDifferences(wanted: WantedNetwork, seen: SeenNetwork): NetworkDifference[] {
  if (wanted.forwards === null) return [];
  // A port whose guests are all reached through their agents is none of the kernel's business.
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

/** Where a round of targets begins is left to chance. */
function portsText(forwards: readonly Forward[]): string {
  const lines = forwards.map(({ protocol, hostPort, targets }) => {
    const to = targets.map(({ address, port }) => `${address}:${port}`).sort();
    return `${protocol} ${hostPort} ${to.join(' ')}`;
  });
  return lines.sort().join('\n');
}

/** A bridge that is gone took its ports with it: their taps are told, and bring it back. */
function shardDifferences({ guests }: WantedNetwork, seen: SeenNetwork): NetworkDifference[] {
  const used = new Set(seen.taps.map(({ shard }) => shard));
  const isAnyAlive = guests.some(({ isAlive }) => isAlive);
  return seen.shards.flatMap(({ shard, isWhole }) =>
    isAnyAlive && used.has(shard) && !isWhole
      ? [ofHost('shard-broken', String(shard), 'make-shard')]
      : [],
  );
}

/** Taps of nobody are found with all else that a VM may leave on the host, by the audit. */
function tapDifferences({ guests }: WantedNetwork, seen: SeenNetwork): NetworkDifference[] {
  const taps = new Map(seen.taps.map((tap) => [tap.name, tap]));
  return guests.flatMap((wanted) =>
    wanted.isAlive ? tapDifference(wanted, taps.get(wanted.guest.tapName)) : [],
  );
}

function tapDifference(
  { vmId, guest, shard }: WantedGuest,
  tap: SeenNetwork['taps'][number] | undefined,
): NetworkDifference[] {
  const subject = guest.tapName;
  if (tap === undefined) return [{ kind: 'tap-missing', subject, vmId, remedy: 'restart-vm' }];
  // Which of the bridges for guests without a known address it was put on is not known here; the first is none.
  const isPlaced = shard === null ? tap.shard !== null && tap.shard > 0 : tap.shard === shard;
  if (!isPlaced) return [{ kind: 'tap-loose', subject, vmId, remedy: 'join-tap' }];
  return tap.isUp ? [] : [{ kind: 'tap-down', subject, vmId, remedy: 'join-tap' }];
}
