// engine, vm-list: a list of any length that stays sorted while items are added and removed. What the items are is not
// known here.

/** Negative: the item is before the searched position; positive or 0: at it or after it. */
export type Probe<T> = (item: T) => number;

/** The maximum number of items that an insertion moves. A list of 100,000 has a few hundred chunks. */
const CHUNK_MAX = 512;

/** Any two items must differ by `compare`, which is how an item is found. */
export class SortedList<T> {
  readonly #compare: (a: T, b: T) => number;
  #chunks: T[][] = [];
  /** The rank of the first item of each chunk; null after a change. */
  #starts: number[] | null = null;
  #size = 0;

  constructor(compare: (a: T, b: T) => number) {
    this.#compare = compare;
  }

  /** From items that are sorted. */
  static of<T>(sorted: readonly T[], compare: (a: T, b: T) => number): SortedList<T> {
    const list = new SortedList(compare);
    for (let from = 0; from < sorted.length; from += CHUNK_MAX) {
      list.#chunks.push(sorted.slice(from, from + CHUNK_MAX));
    }
    list.#size = sorted.length;
    return list;
  }

  get size(): number {
    return this.#size;
  }

  add(item: T): void {
    const chunks = this.#chunks;
    const end = chunks[chunks.length - 1];
    // An item that belongs to the end, as most do when a daemon starts, needs no search.
    if (end !== undefined && end.length < CHUNK_MAX && this.#isAfter(end, item)) {
      end.push(item);
      this.#size += 1;
      this.#starts = null;
      return;
    }
    const at = Math.min(this.#chunkOf(item), chunks.length - 1);
    const chunk = chunks[at];
    this.#size += 1;
    this.#starts = null;
    if (chunk === undefined) {
      chunks.push([item]);
      return;
    }
    const index = firstAtOrAfter(chunk, (other) => this.#compare(other, item));
    if (chunk.length < CHUNK_MAX) chunk.splice(index, 0, item);
    // Most lists grow at their end, so earlier chunks stay full.
    else if (index === chunk.length) chunks.splice(at + 1, 0, [item]);
    else {
      const upper = chunk.splice(CHUNK_MAX / 2);
      chunks.splice(at + 1, 0, upper);
      if (index <= chunk.length) chunk.splice(index, 0, item);
      else upper.splice(index - chunk.length, 0, item);
    }
  }

  /** Does nothing if the item is not in the list. */
  remove(item: T): void {
    const at = this.#chunkOf(item);
    const chunk = this.#chunks[at];
    if (chunk === undefined) return;
    const index = firstAtOrAfter(chunk, (other) => this.#compare(other, item));
    const found = chunk[index];
    if (found === undefined || this.#compare(found, item) !== 0) return;
    chunk.splice(index, 1);
    if (chunk.length === 0) this.#chunks.splice(at, 1);
    this.#size -= 1;
    this.#starts = null;
  }

  /** Replaces an item by one that compares equal. */
  replace(item: T): void {
    const chunk = this.#chunks[this.#chunkOf(item)];
    if (chunk === undefined) return;
    const index = firstAtOrAfter(chunk, (other) => this.#compare(other, item));
    const found = chunk[index];
    if (found !== undefined && this.#compare(found, item) === 0) chunk[index] = item;
  }

  /** The number of items before the searched position. */
  rank(probe: Probe<T>): number {
    const at = this.#chunkBy(probe);
    const chunk = this.#chunks[at];
    if (chunk === undefined) return this.#size;
    return (this.#ranks()[at] ?? 0) + firstAtOrAfter(chunk, probe);
  }

  at(rank: number): T | undefined {
    const starts = this.#ranks();
    const index = lastStartAt(starts, rank);
    return this.#chunks[index]?.[rank - (starts[index] ?? 0)];
  }

  /** The items of these ranks; `to` is excluded. */
  slice(from: number, to: number): T[] {
    const items: T[] = [];
    const starts = this.#ranks();
    for (let index = lastStartAt(starts, from); index < starts.length; index += 1) {
      const start = starts[index] ?? 0;
      if (start >= to) break;
      const chunk = this.#chunks[index] ?? [];
      const last = Math.min(chunk.length, to - start);
      for (let at = Math.max(0, from - start); at < last; at += 1) items.push(chunk[at] as T);
    }
    return items;
  }

  /** In order. The list must not change meanwhile. */
  *[Symbol.iterator](): Iterator<T> {
    for (const chunk of this.#chunks) yield* chunk;
  }

  #isAfter(chunk: readonly T[], item: T): boolean {
    return this.#compare(chunk[chunk.length - 1] as T, item) < 0;
  }

  #chunkOf(item: T): number {
    return this.#chunkBy((other) => this.#compare(other, item));
  }

  /** The first chunk whose last item is at the searched position or after it. */
  #chunkBy(probe: Probe<T>): number {
    return firstAtOrAfter(this.#chunks, (chunk) => probe(chunk[chunk.length - 1] as T));
  }

  #ranks(): readonly number[] {
    if (this.#starts !== null) return this.#starts;
    const starts: number[] = [];
    let start = 0;
    for (const chunk of this.#chunks) {
      starts.push(start);
      start += chunk.length;
    }
    this.#starts = starts;
    return starts;
  }
}

function firstAtOrAfter<T>(items: readonly T[], probe: Probe<T>): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (probe(items[middle] as T) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The index of the last start that is not above a rank; 0 if there is none. */
function lastStartAt(starts: readonly number[], rank: number): number {
  return Math.max(0, firstAtOrAfter(starts, (start) => (start <= rank ? -1 : 0)) - 1);
}
