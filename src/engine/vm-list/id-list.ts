// engine, vm-list: a list of ascending ids in little memory. Each piece of text has one, so many are short and some
// contain every VM.

/** The maximum number of ids that an insertion moves. */
const CHUNK_MAX = 1024;
const CHUNK_MIN = 4;

interface Chunk {
  /** The first `size` ids are in use. */
  ids: Uint32Array;
  size: number;
}

export class IdList {
  readonly #chunks: Chunk[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Does nothing if the id is in the list. */
  add(id: number): void {
    const end = this.#chunks[this.#chunks.length - 1];
    if (end !== undefined) {
      const last = end.ids[end.size - 1] as number;
      if (last === id) return;
      // Most ids are higher than all others: those of new VMs, and all of them when a daemon starts.
      if (last < id && end.size < CHUNK_MAX) {
        insert(end, end.size, id);
        this.#size += 1;
        return;
      }
    }
    const at = Math.min(this.#chunkOf(id), this.#chunks.length - 1);
    const chunk = this.#chunks[at];
    if (chunk === undefined) {
      this.#chunks.push(chunkOf(id));
      this.#size += 1;
      return;
    }
    const index = indexIn(chunk, id);
    if (index < chunk.size && chunk.ids[index] === id) return;
    this.#size += 1;
    if (chunk.size < CHUNK_MAX) insert(chunk, index, id);
    // New ids are the highest, so earlier chunks stay full.
    else if (index === chunk.size) this.#chunks.splice(at + 1, 0, chunkOf(id));
    else {
      const half = chunk.size >>> 1;
      const upper = { ids: chunk.ids.slice(half), size: chunk.size - half };
      chunk.size = half;
      this.#chunks.splice(at + 1, 0, upper);
      if (index <= half) insert(chunk, index, id);
      else insert(upper, index - half, id);
    }
  }

  remove(id: number): void {
    const at = this.#chunkOf(id);
    const chunk = this.#chunks[at];
    if (chunk === undefined) return;
    const index = indexIn(chunk, id);
    if (chunk.ids[index] !== id) return;
    chunk.ids.copyWithin(index, index + 1, chunk.size);
    chunk.size -= 1;
    this.#size -= 1;
    if (chunk.size === 0) this.#chunks.splice(at, 1);
  }

  /** Ids by position; `to` is excluded. */
  slice(from: number, to: number): number[] {
    const ids: number[] = [];
    let start = 0;
    for (const chunk of this.#chunks) {
      if (start >= to) break;
      const last = Math.min(chunk.size, to - start);
      for (let at = Math.max(0, from - start); at < last; at += 1)
        ids.push(chunk.ids[at] as number);
      start += chunk.size;
    }
    return ids;
  }

  /** The first chunk whose last id is not below this one. */
  #chunkOf(id: number): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const { ids, size } = this.#chunks[middle] as Chunk;
      if ((ids[size - 1] as number) < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function chunkOf(id: number): Chunk {
  const chunk = { ids: new Uint32Array(CHUNK_MIN), size: 1 };
  chunk.ids[0] = id;
  return chunk;
}

function insert(chunk: Chunk, index: number, id: number): void {
  if (chunk.size === chunk.ids.length) {
    const larger = new Uint32Array(Math.min(CHUNK_MAX, chunk.ids.length * 2));
    larger.set(chunk.ids);
    chunk.ids = larger;
  }
  if (index < chunk.size) chunk.ids.copyWithin(index + 1, index, chunk.size);
  chunk.ids[index] = id;
  chunk.size += 1;
}

/** The position of the first id that is not below this one. */
function indexIn({ ids, size }: Chunk, id: number): number {
  let low = 0;
  let high = size;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ids[middle] as number) < id) low = middle + 1;
    else high = middle;
  }
  return low;
}
