// scripts: removes what setup and the daemon put into a home directory. The daemon itself removes VMs and kernel objects.

import { existsSync, lstatSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Paths below the home. */
const OURS = [
  'cache',
  'disks',
  'images/boot.cpio',
  'images/hello.cpio',
  'kernel/vmlinux',
  'kernel/bzImage',
  'logs',
  'run',
  'state',
  'volantd-supervisor.lock',
  'volantd-up.env',
  'volantd.lock',
];

/**
 * Copies of the records: from before a change of their format, replaced by a restore, damaged, or from an interrupted
 * restore. They contain the same secrets as the records.
 */
const COPIES = /^state\.(format-\d+\.|replaced\.|damaged\.|restoring$)/;

/** Removes files of Volant, and empty directories. Returns `kept`, the other files. */
export function emptyHome(home) {
  const copies = readdirSync(home).filter((name) => COPIES.test(name));
  const removed = [...OURS, ...copies.sort()].filter((path) => existsSync(join(home, path)));
  for (const path of removed) rmSync(join(home, path), { recursive: true });
  for (const directory of ['images', 'kernel', '.']) removeIfEmpty(join(home, directory));
  return { removed, kept: existsSync(home) ? filesBelow(home) : [] };
}

function removeIfEmpty(directory) {
  if (existsSync(directory) && readdirSync(directory).length === 0) rmdirSync(directory);
}

function filesBelow(directory) {
  // The member with the directory of an entry has different names in different versions of Node.
  return readdirSync(directory, { recursive: true })
    .filter((path) => !lstatSync(join(directory, path)).isDirectory())
    .sort();
}
