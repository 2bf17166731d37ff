// engine, network: the repair that the host is asked for, computed from the differences. Pure.

import type { NetworkRepair, WantedGuest, WantedNetwork } from '../ports/network-ports.ts';
import type { NetworkDifference, NetworkRemedy } from './network-differences.ts';

/** The repair; null if none of the differences can be repaired. */
export function repairOf(
  wanted: WantedNetwork,
  differences: readonly NetworkDifference[],
): NetworkRepair | null {
  const subjects = (remedy: NetworkRemedy) =>
    differences.filter((difference) => difference.remedy === remedy).map(({ subject }) => subject);
  const guests = new Map(wanted.guests.map((target) => [target.guest.tapName, target]));
  const guestsOf = (tapNames: readonly string[]): readonly WantedGuest[] =>
    tapNames.flatMap((tapName) => guests.get(tapName) ?? []);
  const filtered = subjects('make-filter');
  const held = subjects('make-egress');
  const repair: NetworkRepair = {
    network: subjects('make-network').length > 0,
    filter:
      filtered.length === 0
        ? null
        : {
            admitted: guestsOf(filtered).map(({ guest }) => guest),
            left: ofKind(differences, 'filter-entry-stray').filter((name) => !guests.has(name)),
          },
    egress:
      held.length === 0
        ? null
        : {
            // Of every guest, because a reading does not say whose rules another program has changed.
            admitted: wanted.guests.map(({ guest }) => guest),
            left: ofKind(differences, 'egress-entry-stray').filter((name) => !guests.has(name)),
          },
    forwards: subjects('make-ports').length > 0 ? wanted.forwards : null,
    secondaryBridges: subjects('make-shard').map(Number),
    taps: guestsOf(subjects('join-tap')).map(({ guest, bridgeNumber }) => ({
      tapName: guest.tapName,
      bridgeNumber,
    })),
  };
  return differences.every(({ remedy }) => remedy === 'restart-vm') ? null : repair;
}

function ofKind(
  differences: readonly NetworkDifference[],
  kind: NetworkDifference['kind'],
): readonly string[] {
  return differences.filter((difference) => difference.kind === kind).map(({ subject }) => subject);
}
