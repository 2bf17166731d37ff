// store: the only importer of lmdb. Opens the environment and its tables, and hides the parts of the library that are
// easy to use wrongly. What the tables contain is defined in tables.ts.

import { mkdirSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { asBinary, type Database, open, type RootDatabase } from 'lmdb';
import { Encoder } from 'msgpackr';

/** Keys are numbers, strings or arrays of both. LMDB sorts them in their natural order. */
export type Key = number | string | (number | string)[];

/** One table: records by key, in key order. */
export interface Table<K extends Key, V> {
  get(key: K): V | undefined;
  /** Records from `start` (inclusive) to `end` (exclusive). A reversed range starts at `start` and goes down. */
  range(options: { start?: K; end?: K; limit?: number; reverse?: boolean }): Iterable<{
    key: K;
    value: V;
  }>;
  /** Only inside Env.write. A value that cannot be encoded fails the whole transaction; see `Env.encode`. */
  put(key: K, value: V): void;
  /** Like put, with the result of `Env.encode`. */
  putEncoded(key: K, value: Uint8Array): void;
  remove(key: K): void;
  /** The number of records. */
  size(): number;
}

/** Returns the approximate size of a key in bytes. LMDB accepts up to 1,978. */
export function keyBytes(key: Key): number {
  const parts = Array.isArray(key) ? key : [key];
  return parts.reduce<number>(
    (sum, part) => sum + (typeof part === 'number' ? 9 : Buffer.byteLength(part) + 1),
    0,
  );
}

export interface Env {
  table<K extends Key, V>(name: string): Table<K, V>;
  /**
   * Encodes a value as every table stores it. Throws for a value that cannot be encoded, for example one that is
   * nested too deep.
   */
  encode(value: unknown): Uint8Array;
  /** Runs `action` as one transaction. Resolves when it is on disk. */
  write(action: () => void): Promise<void>;
  /** Free bytes on the disk, including the part that is reserved for root. */
  freeBytes(): Promise<number>;
  /** Like write, but synchronous and durable when it returns. Blocks: only for the start of the daemon. */
  writeNow(action: () => void): void;
  /** Writes a consistent copy without blocking. The file must not exist. */
  copyTo(path: string): Promise<void>;
  /** A path beside the records for a temporary file. */
  readonly temporaryFile: string;
  close(): Promise<void>;
}

/** An environment that is open for reading only. */
export interface ReadOnlyEnv {
  tableNames(): readonly string[];
  /** Every record of a table, decoded, in key order. */
  records(table: string): Iterable<{ key: unknown; value: unknown }>;
  close(): Promise<void>;
}

/** More than the number of tables; LMDB requires a bound. */
const TABLES_MAX = 16;

/**
 * How records are encoded: MessagePack maps. msgpackr is a direct dependency so that package.json pins its version, not
 * lmdb. test/store/encoding.test.ts has bytes that every later version must read.
 * Each record carries its member names. lmdb could keep them once per table, but it would write them in the
 * transaction that needs them first and believe in them even when that one failed: later records could not be read
 * after a restart. msgpackr's own extension for objects, in which formats 1 and 2 were written, is still read. It costs
 * two to five times as much to write, because it defines each object's members again.
 */
const ENCODING = { useRecords: false, mapsAsObjects: true, variableMapSize: true } as const;

const RECORD_FORMAT = { encoder: { Encoder }, ...ENCODING };

/** Returns the path of an environment's records. */
export function dataFileOf(directory: string): string {
  return `${directory}/volant.lmdb`;
}

/** Returns the path of LMDB's lock file, which contains no records. */
export function lockFileOf(directory: string): string {
  return `${dataFileOf(directory)}-lock`;
}

/** Opens or creates the environment in a directory of its own. Throws the system's error. */
export function openEnv(directory: string): Env {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const root: RootDatabase = open({
    path: dataFileOf(directory),
    maxDbs: TABLES_MAX,
    ...RECORD_FORMAT,
    // A commit is synced before its promise resolves, so everything that was answered is on disk.
    overlappingSync: false,
    // Only write() makes transactions. The library's automatic ones, one per event turn, have promises without an
    // owner: on a full disk their rejections would end the process.
    eventTurnBatching: false,
  });
  const encoder = new Encoder(ENCODING);
  return {
    table: (name) => tableOf(root.openDB({ name })),
    // A copy, because the encoder reuses its buffer.
    encode: (value) => new Uint8Array(encoder.encode(value)),
    write: (action) => write(root, action),
    freeBytes: async () => {
      const { bfree, bsize } = await statfs(directory);
      return bfree * bsize;
    },
    copyTo: (path) => root.backup(path, true),
    temporaryFile: `${directory}/backup.tmp`,
    writeNow: (action) => root.transactionSync(action),
    close: () => root.close(),
  };
}

/** Opens an existing environment for reading. A damaged file can kill the process; see integrity.ts. */
export function openEnvToRead(directory: string): ReadOnlyEnv {
  const root: RootDatabase = open({
    path: dataFileOf(directory),
    maxDbs: TABLES_MAX,
    ...RECORD_FORMAT,
    readOnly: true,
  });
  return {
    tableNames: () => [...root.getKeys({})].map(String),
    records: (name) => root.openDB<unknown, Key>({ name }).getRange({}),
    close: () => root.close(),
  };
}

/**
 * Not batch(): after an action that throws, a batch keeps what it has put so far. A child transaction is rolled back.
 */
async function write(root: RootDatabase, action: () => void): Promise<void> {
  try {
    await root.childTransaction(action);
  } catch (error) {
    throw await causeOf(error);
  }
}

/** A failed commit rejects with a general error that carries a promise of the real one. */
async function causeOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error && 'commitError' in error)) return error;
  try {
    await error.commitError;
    return error;
  } catch (cause) {
    return cause;
  }
}

function tableOf<K extends Key, V>(database: Database<V, K>): Table<K, V> {
  return {
    get: (key) => database.get(key),
    range: (options) => database.getRange(options),
    // Inside a transaction both are synchronous.
    put: (key, value) => void database.put(key, value),
    putEncoded: (key, value) => void database.put(key, asBinary(value) as unknown as V),
    remove: (key) => void database.remove(key),
    size: () => database.getCount(),
  };
}
