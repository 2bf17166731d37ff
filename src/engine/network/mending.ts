// engine, network: what is asked of the host to undo differences. Pure.

import type { NetworkMending, WantedGuest, WantedNetwork } from '../network-ports.ts';
import type { NetworkDifference, NetworkRemedy } from './differences.ts';

/** null when none of them can be mended. */
export function mendingOf(
  wanted: WantedNetwork,
  differences: readonly NetworkDifference[],
): NetworkMending | null {
  const subjects = (remedy: NetworkRemedy) =>
    differences.filter((difference) => difference.remedy === remedy).map(({ subject }) => subject);
  const guests = new Map(wanted.guests.map((wish) => [wish.guest.tapName, wish]));
  const wishesOf = (tapNames: readonly string[]): readonly WantedGuest[] =>
    tapNames.flatMap((tapName) => guests.get(tapName) ?? []);
  const filtered = subjects('make-filter');
  const mending: NetworkMending = {
    network: subjects('make-network').length > 0,
    filter:
      filtered.length === 0
        ? null
        : {
            admitted: wishesOf(filtered).map(({ guest }) => guest),
            left: ofKind(differences, 'filter-entry-stray').filter((name) => !guests.has(name)),
          },
    forwards: subjects('make-ports').length > 0 ? wanted.forwards : null,
    shards: subjects('make-shard').map(Number),
    taps: wishesOf(subjects('join-tap')).map(({ guest, shard }) => ({
      tapName: guest.tapName,
      shard,
    })),
  };
  return differences.every(({ remedy }) => remedy === 'restart-vm') ? null : mending;
}

function ofKind(
  differences: readonly NetworkDifference[],
  kind: NetworkDifference['kind'],
): readonly string[] {
  return differences.filter((difference) => difference.kind === kind).map(({ subject }) => subject);
}
