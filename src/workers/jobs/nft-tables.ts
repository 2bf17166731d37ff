// workers, job: tables of nftables as the kernel has them, read back by nft's own program. What is compared with what
// was written is a digest of their rules: it changes with any of them, but not with elements of named sets.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { errnoOf, JobFault } from './fault.ts';

const TIMEOUT_MS = 10_000;
/** Some 150 bytes for each guest and 600 for each host port. */
const OUTPUT_BYTES_MAX = 256 * 1024 ** 2;

/** Name of a family, a blank, and the name of a table. */
export type TableName = `${'ip' | 'bridge'} ${string}`;

/** An object of nft's JSON: {"chain": {…}}, {"rule": {…}}, {"set": {…}} and so on. */
export type NftObject = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** What each of these tables holds; null is one that is not there. */
export function readTables(names: readonly TableName[]): (readonly NftObject[] | null)[] {
  const there = new Set(
    list('list tables').flatMap(({ table }) =>
      table === undefined ? [] : [`${table['family']} ${table['name']}`],
    ),
  );
  return names.map((name) => (there.has(name) ? list(`list table ${name}`) : null));
}

/** null for a table that is not there. `isVariable` leaves out objects that come and go with guests and ports. */
export function digestOf(
  objects: readonly NftObject[] | null,
  isVariable: (object: NftObject) => boolean = () => false,
): string | null {
  if (objects === null) return null;
  const rules = objects.filter((object) => !('metainfo' in object) && !isVariable(object));
  const text = JSON.stringify(rules, (key, value: unknown) =>
    // Elements of named sets are "elem"; handles are numbered anew with each table.
    key === 'handle' || key === 'elem' ? undefined : value,
  );
  return createHash('sha256').update(text).digest('base64');
}

/** Elements of a set or a map; none when it is not there. */
export function elementsOf(objects: readonly NftObject[] | null, name: string): readonly unknown[] {
  for (const object of objects ?? []) {
    const set = object['set'] ?? object['map'];
    if (set?.['name'] === name) return (set['elem'] as readonly unknown[] | undefined) ?? [];
  }
  return [];
}

function list(command: string): readonly NftObject[] {
  try {
    const text = execFileSync('nft', ['-j', ...command.split(' ')], {
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
      maxBuffer: OUTPUT_BYTES_MAX,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
    });
    return text.trim() === '' ? [] : (JSON.parse(text) as { nftables: NftObject[] }).nftables;
  } catch (error) {
    const remedy = errnoOf(error) === 'ENOENT' ? 'install the package nftables' : 'see the log';
    throw new JobFault('HOST_OPERATION_FAILED', `Tables cannot be read: ${remedy}`, error);
  }
}
