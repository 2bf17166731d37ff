// engine, vm-list: every VM in each sort order, so that a page costs as much as it contains, however many VMs there
// are. Bodies are not known here.

import { setImmediate as turn } from 'node:timers/promises';
import type { VmListQuery } from '../engine-api.ts';
import type { VmSummary } from '../records.ts';
import { rangeOf, rangeOfPrefix, sliceDescending } from './ranges.ts';
import { SortedList } from './sorted-list.ts';
import { TextIndex } from './text-index.ts';
import { ValueCounts } from './value-counts.ts';
import { Views } from './views.ts';
import {
  compareBy,
  type Entry,
  type Filter,
  filtersOf,
  KEYS,
  matcherOf,
  type SortKey,
  textsOf,
  type ValueFilter,
} from './vm-entry.ts';

/** The time in ms that indexing may take on the main thread at a time. */
const SLICE_MS = 4;
/** The number of VMs that are indexed at once. */
const AT_ONCE_MAX = 500;
/** A query that examined more VMs is cached as a view. */
const LOOKED_AT_MAX = 256;
/** More matches are not sorted for one query; a sorted list is scanned instead. */
const SORTED_MAX = 1_000;

export interface Selection {
  readonly entries: readonly Entry[];
  /** The number of VMs that matched before paging. */
  readonly total: number;
}

/** The matches of a query, in ascending order. */
interface Run {
  readonly size: number;
  slice(from: number, to: number): readonly Entry[];
  /** In descending order; VMs with equal keys stay in the order of their ids. */
  sliceDescending(from: number, to: number): readonly Entry[];
}

type IndexName = keyof typeof KEYS;
const INDEXES = Object.keys(KEYS) as readonly IndexName[];
const COUNTED = ['status', 'runtime', 'plugin'] as const;

export class VmList {
  readonly #all: SortedList<Entry>;
  readonly #byId: ReadonlyMap<number, Entry>;
  readonly #indexes: Readonly<Record<IndexName, SortedList<Entry>>>;
  readonly #texts = new TextIndex();
  readonly #views = new Views();
  readonly #values = {
    status: new ValueCounts(),
    runtime: new ValueCounts(),
    plugin: new ValueCounts(),
  } as const;
  /** VMs with higher ids are not indexed yet. */
  #indexedId = 0;
  #indexing: Promise<void> | null = null;

  /**
   * VMs by id, in ascending order; the owner keeps the map. Many VMs are indexed in the background, from `index` or from the
   * first query on that needs it.
   */
  constructor(byId: ReadonlyMap<number, Entry>) {
    this.#byId = byId;
    this.#all = SortedList.of([...byId.values()], compareBy('created_at'));
    this.#indexes = {
      name: new SortedList<Entry>(compareBy('name')),
      status: new SortedList<Entry>(compareBy('status')),
      runtime: new SortedList<Entry>(compareBy('runtime')),
      updated_at: new SortedList<Entry>(compareBy('updated_at')),
      plugin: new SortedList<Entry>(compareBy('plugin')),
      address: new SortedList<Entry>(compareBy('address')),
    };
    for (const entry of byId.values()) this.#count(entry);
    if (byId.size <= AT_ONCE_MAX) {
      for (const entry of byId.values()) this.#index(entry);
      this.#indexedId = Number.POSITIVE_INFINITY;
    }
  }

  get size(): number {
    return this.#all.size;
  }

  /** Resolves when `select` can answer; null if it can now. */
  waitsFor({ sort, ...query }: VmListQuery): Promise<void> | null {
    const isPlain = sort === 'created_at' && filtersOf({ sort, ...query }).length === 0;
    return isPlain || this.#isIndexed ? null : this.index();
  }

  /** Indexes all VMs in the background, unless that has begun. Resolves when all are indexed. */
  index(): Promise<void> {
    if (this.#isIndexed) return Promise.resolve();
    this.#indexing ??= this.#indexAll();
    return this.#indexing;
  }

  get #isIndexed(): boolean {
    return this.#indexedId === Number.POSITIVE_INFINITY;
  }

  add(entry: Entry): void {
    this.#all.add(entry);
    this.#count(entry);
    if (entry.id > this.#indexedId) return;
    this.#index(entry);
    this.#views.add(entry);
  }

  remove(entry: Entry): void {
    this.#all.remove(entry);
    for (const name of COUNTED) this.#values[name].remove(entry[name]);
    if (entry.id > this.#indexedId) return;
    this.#views.remove(entry);
    for (const name of INDEXES) this.#indexes[name].remove(entry);
    this.#texts.remove(entry.id, textsOf(entry));
  }

  /** Updates an entry from a summary. */
  change(entry: Entry, summary: VmSummary): void {
    for (const name of COUNTED) {
      if (entry[name] === summary[name]) continue;
      this.#values[name].remove(entry[name]);
      this.#values[name].add(summary[name]);
    }
    if (entry.id > this.#indexedId) {
      Object.assign(entry, summary);
      return;
    }
    const moved = INDEXES.filter((name) => KEYS[name](entry) !== KEYS[name](summary));
    const isOtherText = moved.includes('name') || moved.includes('address');
    if (moved.length > 0) this.#views.remove(entry);
    for (const name of moved) this.#indexes[name].remove(entry);
    if (isOtherText) this.#texts.remove(entry.id, textsOf(entry));
    Object.assign(entry, summary);
    for (const name of moved) this.#indexes[name].add(entry);
    if (isOtherText) this.#texts.add(entry.id, textsOf(entry));
    if (moved.length > 0) this.#views.add(entry);
  }

  /** A page of the matches of a query. Call it only if `waitsFor` has nothing to wait for. */
  select(query: VmListQuery): Selection {
    const filters = filtersOf(query);
    const run = this.#direct(filters, query) ?? this.#searched(filters, query.sort);
    const { offset, limit = Number.POSITIVE_INFINITY, descending } = query;
    const to = Math.min(run.size, offset + limit);
    const entries = descending ? run.sliceDescending(offset, to) : run.slice(offset, to);
    return { entries, total: run.size };
  }

  /** The number of VMs of each value, in lower case. */
  counts(value: 'status' | 'runtime'): Readonly<Record<string, number>> {
    return this.#values[value].counts();
  }

  /** The result of a query that one part of an index answers; null for other queries. */
  #direct(filters: readonly Filter[], { sort, limit }: VmListQuery): Run | null {
    const [filter, ...others] = filters;
    if (filter === undefined) return this.#whole(sort);
    if (others.length > 0) return null;
    if (filter.kind === 'text') return sort === 'created_at' ? this.#exactText(filter.value) : null;
    if (filter.kind === 'prefix') {
      const list = this.#indexes.name;
      const range = rangeOfPrefix(list, KEYS.name, filter.value);
      return sort === 'name' || limit === 0 ? partOf(list, range, 'reversed') : null;
    }
    const index = filter.kind;
    const [value, ...more] = this.#valuesOf(filter);
    if (value === undefined) return NOTHING;
    if (more.length > 0 || (sort !== 'created_at' && sort !== index)) return null;
    const list = this.#indexes[index];
    const range = rangeOf(list, KEYS[index], value);
    return partOf(list, range, sort === 'created_at' ? 'reversed' : 'same');
  }

  #whole(sort: SortKey): Run {
    const list = sort === 'created_at' ? this.#all : this.#indexes[sort];
    return this.#runOf(list, sort);
  }

  #runOf(list: SortedList<Entry>, sort: SortKey): Run {
    // Names are unique.
    if (sort === 'created_at' || sort === 'name') {
      return partOf(list, { from: 0, to: list.size }, 'reversed');
    }
    return {
      size: list.size,
      slice: (from, to) => list.slice(from, to),
      sliceDescending: (from, to) => sliceDescending(list, KEYS[sort], from, to),
    };
  }

  /** VMs with a text, if the index knows all of them exactly. */
  #exactText(text: string): Run | null {
    if (this.#values.runtime.someHas(text)) return null;
    const { ids, isExact } = this.#texts.candidates(text);
    if (!isExact && !this.#allBeginWith(text, ids.size)) return null;
    const entriesOf = (some: readonly number[]) => some.flatMap((id) => this.#byId.get(id) ?? []);
    return {
      size: ids.size,
      slice: (from, to) => entriesOf(ids.slice(from, to)),
      sliceDescending: (from, to) => entriesOf(ids.slice(ids.size - to, ids.size - from)).reverse(),
    };
  }

  /** If as many VMs may have the text as have a name or address that begins with it, they are the same. */
  #allBeginWith(text: string, count: number): boolean {
    return (['name', 'address'] as const).some((index) => {
      const { from, to } = rangeOfPrefix(this.#indexes[index], KEYS[index], text);
      return to - from === count;
    });
  }

  /** Checks VMs one by one: those of the rarest part of the query, or all of them in order. */
  #searched(filters: readonly Filter[], sort: SortKey): Run {
    const kept = this.#views.find(filters, sort);
    if (kept !== undefined) return this.#runOf(kept, sort);
    const isMeant = matcherOf(filters);
    const few = this.#fewest(filters);
    const found: Entry[] = [];
    if (few !== null) {
      found.push(...few.filter(isMeant).sort(compareBy(sort)));
    } else {
      const list = sort === 'created_at' ? this.#all : this.#indexes[sort];
      for (const entry of list) if (isMeant(entry)) found.push(entry);
    }
    const isCheap = (few?.length ?? this.#all.size) <= LOOKED_AT_MAX;
    const list = isCheap
      ? SortedList.of(found, compareBy(sort))
      : this.#views.keep(filters, sort, found);
    return this.#runOf(list, sort);
  }

  /** The VMs of one part of the query, if they are few enough to be sorted; null if no part has so few. */
  #fewest(filters: readonly Filter[]): readonly Entry[] | null {
    let fewest: { readonly size: number; readonly read: () => readonly Entry[] } | null = null;
    for (const filter of filters) {
      const source = this.#sourceOf(filter);
      if (source !== null && source.size <= (fewest?.size ?? SORTED_MAX)) fewest = source;
    }
    return fewest?.read() ?? null;
  }

  #sourceOf(
    filter: Filter,
  ): { readonly size: number; readonly read: () => readonly Entry[] } | null {
    if (filter.kind === 'text') {
      if (this.#values.runtime.someHas(filter.value)) return null;
      const { ids } = this.#texts.candidates(filter.value);
      const read = () => ids.slice(0, ids.size).flatMap((id) => this.#byId.get(id) ?? []);
      return { size: ids.size, read };
    }
    const list = this.#indexes[filter.kind === 'prefix' ? 'name' : filter.kind];
    const ranges =
      filter.kind === 'prefix'
        ? [rangeOfPrefix(list, KEYS.name, filter.value)]
        : this.#valuesOf(filter).map((value) => rangeOf(list, KEYS[filter.kind], value));
    return {
      size: ranges.reduce((sum, { from, to }) => sum + to - from, 0),
      read: () => ranges.flatMap(({ from, to }) => list.slice(from, to)),
    };
  }

  /** The values of an index that a filter matches, because a filter ignores case and an index does not. */
  #valuesOf(filter: ValueFilter): readonly string[] {
    if ('values' in filter) return filter.values;
    return this.#values[filter.kind].spellingsOf(filter.value);
  }

  #count(entry: Entry): void {
    for (const name of COUNTED) this.#values[name].add(entry[name]);
  }

  #index(entry: Entry): void {
    for (const name of INDEXES) this.#indexes[name].add(entry);
    this.#texts.add(entry.id, textsOf(entry));
  }

  /** Indexes VMs in the order of ids. New and changed VMs are indexed if their turn is over. */
  async #indexAll(): Promise<void> {
    for (;;) {
      const endMs = performance.now() + SLICE_MS;
      let rank = this.#all.rank(({ id }) => (id <= this.#indexedId ? -1 : 0));
      for (; performance.now() < endMs; rank += 1) {
        const entry = this.#all.at(rank);
        if (entry === undefined) {
          this.#indexedId = Number.POSITIVE_INFINITY;
          this.#indexing = null;
          return;
        }
        this.#index(entry);
        this.#indexedId = entry.id;
      }
      await turn();
    }
  }
}

const NOTHING: Run = { size: 0, slice: () => [], sliceDescending: () => [] };

/** A part of a list. Descending, it is reversed, unless all its entries have equal keys. */
function partOf(
  list: SortedList<Entry>,
  { from: first, to: last }: { readonly from: number; readonly to: number },
  descending: 'reversed' | 'same',
): Run {
  const slice = (from: number, to: number) => list.slice(first + from, Math.min(last, first + to));
  return {
    size: last - first,
    slice,
    sliceDescending: (from, to) =>
      descending === 'same' ? slice(from, to) : list.slice(last - to, last - from).reverse(),
  };
}
