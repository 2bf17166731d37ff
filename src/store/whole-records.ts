// store: checks whether records match their keys.

import type { ReadOnlyEnv } from './env.ts';

/** For each table of objects, the names under which the parts of the key are repeated in the record. */
const KEYS_IN_RECORDS: Readonly<Record<string, readonly string[]>> = {
  vms: ['id'],
  configs: ['vmId', 'version'],
  operations: ['vmId', 'number'],
  results: ['vmId'],
  addresses: [],
  plugins: [],
  deployments: ['name'],
  revisions: ['deployment', 'revision'],
  devices: ['address'],
  answers: [],
  artifacts: ['plugin', 'version', 'name'],
  events: [],
};

/** Gets each record of a table that matches its key. */
export type OnRecord = (
  table: string,
  record: { readonly key: unknown; readonly value: unknown },
) => void;

/**
 * Returns what is wrong with a record of these tables, as the end of a sentence, or null. Throws for a record that
 * cannot be decoded.
 */
export function problemInRecords(
  env: ReadOnlyEnv,
  tables: readonly string[],
  onRecord: OnRecord = () => undefined,
): string | null {
  for (const table of tables) {
    const members = KEYS_IN_RECORDS[table];
    for (const record of env.records(table)) {
      if (members !== undefined && !isRecord(record.key, record.value, members)) {
        return `a record of ${table} does not match its key`;
      }
      onRecord(table, record);
    }
  }
  return null;
}

function isRecord(key: unknown, value: unknown, members: readonly string[]): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const parts = Array.isArray(key) ? key : [key];
  return members.every((name, index) => Reflect.get(value, name) === parts[index]);
}
