// scripts: what the set-up and the daemon put into a home directory, and how it is taken away again. VMs and what is in
// the kernel are the daemon's own business.

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
 * Records that were copied before a change of their format, that a restore replaced, that were damaged, and a restore that
 * was cut off: they say of VMs what the records say, secrets included.
 */
const COPIES = /^state\.(format-\d+\.|replaced\.|damaged\.|restoring$)/;

/** Removes what is ours, and empty directories. `kept` are the files that are not ours. */
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
  // An entry with its type has its directory under another name in each version of Node.
  return readdirSync(directory, { recursive: true })
    .filter((path) => !lstatSync(join(directory, path)).isDirectory())
    .sort();
}
