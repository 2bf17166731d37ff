// jobs, network: reads tables of nftables by its program. A digest of a table's rules is compared with the one that
// was written: it changes with any rule, but not with the elements of named sets. Tables are written by nft.ts.

import { createHash } from 'node:crypto';
import { JobFault } from '../fault.ts';
import { runProgram } from '../run-program.ts';

/** The family and the name of a table, separated by a blank. */
export type TableName = `${'ip' | 'bridge'} ${string}`;

/** An object of nft's JSON output, see libnftables-json(5): {"chain": {…}}, {"rule": {…}}, {"set": {…}} and so on. */
export type NftObject = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** Returns the objects of each table; null for a table that does not exist. */
export function readTables(names: readonly TableName[]): (readonly NftObject[] | null)[] {
  const there = new Set(
    list('list tables').flatMap(({ table }) =>
      table === undefined ? [] : [`${table['family']} ${table['name']}`],
    ),
  );
  return names.map((name) => (there.has(name) ? listIfThere(`list table ${name}`) : null));
}

/** Returns one set or chain with its content; null when it does not exist. Costs less than its table in a large one. */
export function readObject(
  kind: 'set' | 'chain',
  table: TableName,
  name: string,
): readonly NftObject[] | null {
  return listIfThere(`list ${kind} ${table} ${name}`);
}

/**
 * Returns a digest of a table's rules; null for a table that does not exist. `isVariable` selects objects to leave
 * out, which come and go with guests and ports.
 */
export function digestOf(
  objects: readonly NftObject[] | null,
  isVariable: (object: NftObject) => boolean = () => false,
): string | null {
  if (objects === null) return null;
  const rules = objects.filter((object) => !('metainfo' in object) && !isVariable(object));
  const text = JSON.stringify(rules, (key, value: unknown) =>
    // Elements of named sets are "elem". Handles are renumbered with each table.
    key === 'handle' || key === 'elem' ? undefined : value,
  );
  return createHash('sha256').update(text).digest('base64');
}

/** Returns the elements of a set or a map; none when it does not exist. */
export function elementsOf(objects: readonly NftObject[] | null, name: string): readonly unknown[] {
  for (const object of objects ?? []) {
    const set = object['set'] ?? object['map'];
    if (set?.['name'] === name) return (set['elem'] as readonly unknown[] | undefined) ?? [];
  }
  return [];
}

/** The table of published ports may have been removed since the names were read. */
function listIfThere(command: string): readonly NftObject[] | null {
  try {
    return list(command);
  } catch (error) {
    // Only nft's message says so: its status is 1 for every error.
    const isGone =
      error instanceof JobFault && error.fault.cause?.includes('No such file or directory');
    if (isGone) return null;
    throw error;
  }
}

function list(command: string): readonly NftObject[] {
  const words = { what: 'Tables cannot be read', packageName: 'nftables' };
  const text = runProgram('nft', ['-j', ...command.split(' ')], words);
  return text.trim() === '' ? [] : (JSON.parse(text) as { nftables: NftObject[] }).nftables;
}
