// store: the only importer of lmdb. Opens the environment and its tables, and hides what of the
// library is easy to get wrong. What is in the tables is not known here.

import { mkdirSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { asBinary, type Database, open, type RootDatabase } from 'lmdb';
import { Encoder } from 'msgpackr';

/** Keys are numbers, strings or arrays of both; LMDB keeps them in their natural order. */
export type Key = number | string | (number | string)[];

/** One table: records by key, in key order. */
export interface Table<K extends Key, V> {
  get(key: K): V | undefined;
  /** `start` inclusive, `end` exclusive; reversed ranges go from `start` downwards. */
  range(options: { start?: K; end?: K; limit?: number; reverse?: boolean }): Iterable<{
    key: K;
    value: V;
  }>;
  /** Only inside Env.write. What cannot be encoded fails all of it: see `Env.encode`. */
  put(key: K, value: V): void;
  /** The same with what `Env.encode` has made of a value. */
  putEncoded(key: K, value: Uint8Array): void;
  remove(key: K): void;
}

/** Bytes of a key, more or less: LMDB takes up to 1,978. */
export function keyBytes(key: Key): number {
  const parts = Array.isArray(key) ? key : [key];
  return parts.reduce<number>(
    (sum, part) => sum + (typeof part === 'number' ? 9 : Buffer.byteLength(part) + 1),
    0,
  );
}

export interface Env {
  table<K extends Key, V>(name: string): Table<K, V>;
  /** A value as any table keeps it. Throws for what cannot be encoded, such as what is too deep. */
  encode(value: unknown): Uint8Array;
  /** Everything that `action` puts and removes is one transaction; resolves when it is on disk. */
  write(action: () => void): Promise<void>;
  /** Room that the disk has for this process. */
  freeBytes(): Promise<number>;
  /** The same, and on disk when it returns. Blocks: for starts only. */
  writeNow(action: () => void): void;
  /** Writes a consistent copy, without blocking; the file must not be there. */
  copyTo(path: string): Promise<void>;
  /** A path beside the records for what is passing. */
  readonly temporaryFile: string;
  close(): Promise<void>;
}

/** An environment that nobody writes to. */
export interface ReadOnlyEnv {
  tableNames(): readonly string[];
  /** Every record of a table, decoded, in key order. */
  records(table: string): Iterable<{ key: unknown; value: unknown }>;
  close(): Promise<void>;
}

/** More tables than there are; LMDB wants a bound. */
const TABLES_MAX = 16;

/**
 * How records are encoded: MessagePack, with msgpackr's extension for objects. msgpackr is a direct dependency so that
 * package.json pins its version, not lmdb. test/store/encoding.test.ts has bytes that every later version must read.
 * Each record carries its member names. lmdb could keep them once per table, but it would write them in the
 * transaction that needs them first and believe in them even when that one failed: later records could not be read
 * after a restart.
 */
const RECORD_FORMAT = { encoder: { Encoder } };

/** The file of an environment's records. */
export function dataFileOf(directory: string): string {
  return `${directory}/volant.lmdb`;
}

/** LMDB's own, for processes that share an environment. It holds no records. */
export function lockFileOf(directory: string): string {
  return `${dataFileOf(directory)}-lock`;
}

/** Opens or creates the environment in a directory of its own. Throws what the system says. */
export function openEnv(directory: string): Env {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const root: RootDatabase = open({
    path: dataFileOf(directory),
    maxDbs: TABLES_MAX,
    ...RECORD_FORMAT,
    // A commit has been synced before its promise resolves: what was answered is on disk.
    overlappingSync: false,
    // Transactions are made by write() alone. The library's own ones, one per event turn, have
    // promises that nobody holds: on a full disk their rejections would end the process.
    eventTurnBatching: false,
  });
  const encoder = new Encoder();
  return {
    table: (name) => tableOf(root.openDB({ name })),
    // A copy: the encoder's own memory is used again.
    encode: (value) => Uint8Array.from(encoder.encode(value)),
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

/** Opens an environment that exists. A damaged file can end the process: see integrity.ts. */
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
 * Not batch(): when an action throws half-way, what a batch has put so far goes into the next one; a
 * child transaction is undone.
 */
async function write(root: RootDatabase, action: () => void): Promise<void> {
  try {
    await root.childTransaction(action);
  } catch (error) {
    throw await causeOf(error);
  }
}

/** A failed commit rejects with a general error that has the promise of the real one. */
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
    // Inside a transaction both are done when they return.
    put: (key, value) => void database.put(key, value),
    putEncoded: (key, value) => void database.put(key, asBinary(value) as unknown as V),
    remove: (key) => void database.remove(key),
  };
}
