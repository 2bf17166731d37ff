// engine, vm-list: ranges of a list that is sorted by a key and then by ids. Pure.

import type { SortedList } from './sorted-list.ts';
import type { Entry } from './vm-entry.ts';

type Key = string | number;
type KeyOf = (entry: Entry) => Key;

/** Ranks; `to` is excluded. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

export function rangeOf(list: SortedList<Entry>, keyOf: KeyOf, key: Key): Range {
  return {
    from: list.rank((entry) => (keyOf(entry) < key ? -1 : 0)),
    to: list.rank((entry) => (keyOf(entry) <= key ? -1 : 0)),
  };
}

/** The range of keys that begin with a text. */
export function rangeOfPrefix(list: SortedList<Entry>, keyOf: KeyOf, prefix: string): Range {
  return {
    from: list.rank((entry) => (keyOf(entry) < prefix ? -1 : 0)),
    to: list.rank((entry) => {
      const key = keyOf(entry);
      return key < prefix || String(key).startsWith(prefix) ? -1 : 0;
    }),
  };
}

/**
 * Ranks of the list with its keys in descending order; `to` is excluded. Entries with equal keys stay in the order of
 * their ids.
 */
export function sliceDescending(
  list: SortedList<Entry>,
  keyOf: KeyOf,
  from: number,
  to: number,
): readonly Entry[] {
  const entries: Entry[] = [];
  const { size } = list;
  for (let rank = from; rank < Math.min(to, size); rank = from + entries.length) {
    const { from: first, to: end } = alikeAt(list, keyOf, size - 1 - rank);
    // In descending order, the entries with this key begin at rank size - end.
    const start = first + rank - (size - end);
    entries.push(...list.slice(start, Math.min(end, start + Math.min(to, size) - rank)));
  }
  return entries;
}

/** The ranks of all entries with the same key as the entry at this rank. */
function alikeAt(list: SortedList<Entry>, keyOf: KeyOf, rank: number): Range {
  const key = keyOf(list.at(rank) as Entry);
  const isAlike = (other: number) => {
    const entry = list.at(other);
    return entry !== undefined && keyOf(entry) === key;
  };
  // Most keys are unique.
  if (!isAlike(rank - 1) && !isAlike(rank + 1)) return { from: rank, to: rank + 1 };
  return rangeOf(list, keyOf, key);
}
