// store: a program of its own that reads every record of a state, for integrity.ts: what a damaged file does to the
// process that maps it is done to this one. It prints what is wrong, as JSON; a state that is whole is null.

import { openEnvToRead } from './env.ts';

/** Tables of objects. What a number of the key is called in its record, where it stands there, too. */
const KEYS_IN_RECORDS: Readonly<Record<string, readonly string[]>> = {
  vms: ['id'],
  configs: ['vmId', 'version'],
  operations: ['vmId', 'number'],
  addresses: [],
  plugins: [],
  deployments: ['name'],
  devices: ['address'],
  answers: [],
  artifacts: ['plugin', 'version', 'name'],
  events: [],
};

/** null, or what is wrong, as the end of a sentence. */
function problemIn(directory: string): string | null {
  const env = openEnvToRead(directory);
  for (const table of env.tableNames()) {
    const members = KEYS_IN_RECORDS[table];
    for (const { key, value } of env.records(table)) {
      if (members !== undefined && !isRecord(key, value, members)) {
        return `a record of ${table} is not what its key says`;
      }
    }
  }
  return null;
}

function isRecord(key: unknown, value: unknown, members: readonly string[]): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const parts = Array.isArray(key) ? key : [key];
  return members.every((name, index) => Reflect.get(value, name) === parts[index]);
}

function answerFor(directory: string): string | null {
  try {
    return problemIn(directory);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

process.stdout.write(JSON.stringify(answerFor(process.argv[2] ?? '')));
