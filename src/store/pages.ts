// store: checks whether the pages of an LMDB file form intact trees, without LMDB, which follows every page number in
// the file and crashes on a wrong one. What the records mean does not belong here.
//
// The layout is that of LMDB's data version 2 with 64-bit page numbers, as in mdb.c of the pinned lmdb package:
// MDB_page_header, MDB_meta, MDB_db, MDB_node and MDB_ovpage. test/store/integrity.test.ts notices a change of it.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
const HEADER_BYTES = 24;
const NODE_BYTES = 8;
const BRANCH = 0x01;
const LEAF = 0x02;
const OVERFLOW = 0x04;
const IS_ELSEWHERE = 0x01;
const IS_TREE = 0x02;
const TREE_BYTES = 48;
/** Deeper than a tree of 2^48 records. */
const DEPTH_MAX = 32;

interface Tree {
  readonly depth: number;
  readonly entries: number;
  /** null: the tree is empty. */
  readonly root: number | null;
}

interface Meta {
  readonly pageBytes: number;
  readonly trees: readonly Tree[];
  readonly lastPage: number;
  readonly transaction: number;
}

/** Damage that LMDB must not encounter. */
class Damage extends Error {}

/**
 * Returns what is wrong, as the end of a sentence, or null. Throws the system's error for a file that cannot be read.
 */
export function problemInPages(path: string): string | null {
  const fd = openSync(path, 'r');
  try {
    new Pages(fd).check();
    return null;
  } catch (error) {
    if (error instanceof Damage) return error.message;
    throw error;
  } finally {
    closeSync(fd);
  }
}

class Pages {
  readonly #fd: number;
  readonly #bytes: number;
  readonly #meta: Meta;
  /** By page number: no page may be used twice. */
  readonly #isUsed: Uint8Array;
  /** Trees that were found and are not checked yet. */
  readonly #trees: Tree[] = [];
  /** One buffer for each level of the tree that is being read. */
  readonly #buffers: Buffer[] = [];

  constructor(fd: number) {
    this.#fd = fd;
    this.#bytes = fstatSync(fd).size;
    this.#meta = this.#newestMeta();
    this.#isUsed = new Uint8Array(this.#meta.lastPage + 1);
  }

  check(): void {
    this.#trees.push(...this.#meta.trees);
    for (let tree = this.#trees.pop(); tree !== undefined; tree = this.#trees.pop()) {
      this.#checkTree(tree);
    }
  }

  #newestMeta(): Meta {
    const first = this.#metaAt(0);
    const second = first === null ? null : this.#metaAt(first.pageBytes);
    if (first === null) throw new Damage('its first page is not valid');
    return second !== null && second.transaction > first.transaction ? second : first;
  }

  /** Reads a meta page; null: it is not valid. */
  #metaAt(offset: number): Meta | null {
    const page = Buffer.alloc(HEADER_BYTES + 136);
    if (readSync(this.#fd, page, 0, page.length, offset) < page.length) return null;
    const meta = page.subarray(HEADER_BYTES);
    if (meta.readUInt32LE(0) !== MAGIC || meta.readUInt32LE(4) !== DATA_VERSION) return null;
    const pageBytes = meta.readUInt32LE(24);
    const lastPage = numberAt(meta, 120);
    const isPossible = [4096, 8192, 16_384, 32_768].includes(pageBytes);
    // The last pages may be free and missing in the file.
    if (!isPossible || lastPage > 2 ** 40 / pageBytes) return null;
    return {
      pageBytes,
      trees: [treeAt(meta, 24), treeAt(meta, 72)],
      lastPage,
      transaction: numberAt(meta, 128),
    };
  }

  #checkTree({ root, depth, entries }: Tree): void {
    if (root === null) return;
    if (depth < 1 || depth > DEPTH_MAX) throw new Damage(`a tree of depth ${depth}`);
    const found = this.#checkPage(root, depth);
    if (found !== entries) throw new Damage(`a tree with ${found} of ${entries} records`);
  }

  /** Returns the number of records below a page. `levels` is 1 for a leaf. */
  #checkPage(page: number, levels: number): number {
    this.#use(page, 1);
    const bytes = this.#read(page, levels);
    const flags = bytes.readUInt16LE(18) & (BRANCH | LEAF | OVERFLOW);
    if (numberAt(bytes, 0) !== page || flags !== (levels === 1 ? LEAF : BRANCH)) {
      throw new Damage(`page ${page} is not valid`);
    }
    const lower = bytes.readUInt16LE(20);
    const upper = bytes.readUInt16LE(22);
    const spaceBytes = this.#meta.pageBytes - HEADER_BYTES;
    if (lower > upper || upper > spaceBytes || lower % 2 !== 0) {
      throw new Damage(`page ${page} is larger than a page`);
    }
    let found = 0;
    for (let at = 0; at < lower; at += 2) {
      const node = HEADER_BYTES + bytes.readUInt16LE(HEADER_BYTES + at);
      if (node < HEADER_BYTES + upper || node + NODE_BYTES > bytes.length) {
        throw new Damage(`a record of page ${page} is not on it`);
      }
      found +=
        levels === 1
          ? this.#checkRecord(bytes, page, node)
          : this.#below(bytes, page, node, levels);
    }
    return found;
  }

  #below(bytes: Buffer, page: number, node: number, levels: number): number {
    const keyBytes = bytes.readUInt16LE(node + 6);
    if (node + NODE_BYTES + keyBytes > bytes.length) {
      throw new Damage(`a key of page ${page} is not on it`);
    }
    const child = bytes.readUInt32LE(node) + bytes.readUInt16LE(node + 4) * 2 ** 32;
    return this.#checkPage(child, levels - 1);
  }

  #checkRecord(bytes: Buffer, page: number, node: number): 1 {
    const flags = bytes.readUInt16LE(node + 4);
    const size = bytes.readUInt32LE(node);
    const data = node + NODE_BYTES + bytes.readUInt16LE(node + 6);
    const isElsewhere = (flags & IS_ELSEWHERE) !== 0;
    if (data + (isElsewhere ? HEADER_BYTES : size) > bytes.length) {
      throw new Damage(`a record of page ${page} is not on it`);
    }
    if (isElsewhere) this.#checkElsewhere(numberAt(bytes, data), size);
    if ((flags & IS_TREE) === 0) return 1;
    if (size !== TREE_BYTES) throw new Damage(`a table of page ${page} is none`);
    this.#trees.push(treeAt(bytes, data));
    return 1;
  }

  /** A record that is larger than a page is on pages of its own. */
  #checkElsewhere(first: number, size: number): void {
    const count = Math.ceil((HEADER_BYTES + size) / this.#meta.pageBytes);
    this.#use(first, count);
    const bytes = this.#read(first, 0);
    const isOverflow = (bytes.readUInt16LE(18) & OVERFLOW) !== 0;
    if (numberAt(bytes, 0) !== first || !isOverflow || bytes.readUInt32LE(20) < count) {
      throw new Damage(`page ${first} is not valid`);
    }
    if ((first + count) * this.#meta.pageBytes > this.#bytes)
      throw new Damage('the file is truncated');
  }

  #use(first: number, count: number): void {
    if (first < 2 || first + count - 1 > this.#meta.lastPage) {
      throw new Damage(`page ${first} is not in the file`);
    }
    for (let page = first; page < first + count; page += 1) {
      if (this.#isUsed[page] !== 0) throw new Damage(`page ${page} is in two places`);
      this.#isUsed[page] = 1;
    }
  }

  #read(page: number, level: number): Buffer {
    const { pageBytes } = this.#meta;
    this.#buffers[level] ??= Buffer.alloc(pageBytes);
    const buffer = this.#buffers[level];
    if (readSync(this.#fd, buffer, 0, pageBytes, page * pageBytes) < pageBytes) {
      throw new Damage('the file is truncated');
    }
    return buffer;
  }
}

function treeAt(bytes: Buffer, at: number): Tree {
  const isEmpty = bytes.readBigUInt64LE(at + 40) === 2n ** 64n - 1n;
  return {
    depth: bytes.readUInt16LE(at + 6),
    entries: numberAt(bytes, at + 32),
    root: isEmpty ? null : numberAt(bytes, at + 40),
  };
}

/** Reads 64 bits. A value that is not exact in JavaScript is no valid page or count. */
function numberAt(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 2 ** 32;
}
