// store: the only importer of lmdb. Opens the environment and its tables, and hides what of the
// library is easy to get wrong. What is in the tables is not known here.

import { mkdirSync } from 'node:fs';
import { type Database, open, type RootDatabase } from 'lmdb';

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
  /** Only inside Env.write. */
  put(key: K, value: V): void;
  remove(key: K): void;
}

export interface Env {
  table<K extends Key, V>(name: string): Table<K, V>;
  /** Everything that `action` puts and removes is one transaction; resolves when it is on disk. */
  write(action: () => void): Promise<void>;
  close(): Promise<void>;
}

/** More tables than there are; LMDB wants a bound. */
const TABLES_MAX = 16;

/** Opens or creates the environment in a directory of its own. Throws what the system says. */
export function openEnv(directory: string): Env {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const root: RootDatabase = open({
    path: `${directory}/volant.lmdb`,
    maxDbs: TABLES_MAX,
    encoding: 'msgpack',
    // A commit has been synced before its promise resolves: what was answered is on disk.
    overlappingSync: false,
  });
  return {
    table: (name) => tableOf(root.openDB({ name, sharedStructuresKey: STRUCTURES_KEY })),
    write: async (action) => {
      // Not batch(): when an action throws half-way, what a batch has put so far goes into the next one.
      await root.childTransaction(action);
    },
    close: () => root.close(),
  };
}

/** Where msgpackr keeps the member names that records of a table share. */
const STRUCTURES_KEY = Symbol.for('structures');

function tableOf<K extends Key, V>(database: Database<V, K>): Table<K, V> {
  return {
    get: (key) => database.get(key),
    range: (options) => withoutStructures(database.getRange(options)),
    // The promises of the single operations are those of the batch, which the caller awaits.
    put: (key, value) => void database.put(key, value),
    remove: (key) => void database.remove(key),
  };
}

/** The entry of the shared structures has a symbol as its key and is no record. */
function* withoutStructures<K extends Key, V>(entries: Iterable<{ key: K; value: V }>) {
  for (const entry of entries) {
    if (typeof entry.key !== 'symbol') yield entry;
  }
}
