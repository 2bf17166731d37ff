// store: copies of a state beside it, and states that are put aside. Nobody may have the state open to write. Blocks, and
// is for starts only.

import {
  closeSync,
  copyFileSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { dataFileOf, lockFileOf } from './env.ts';

/**
 * Copies the state to `<state>.<label>.<time>`, which is whole on disk when this returns. Of the copies with this label
 * the newest `keptMax` stay. The path of the copy.
 */
export function copyState(
  directory: string,
  label: string,
  nowMs: number,
  keptMax: number,
): string {
  const copy = asideOf(directory, label, nowMs);
  mkdirSync(copy, { mode: 0o700 });
  copyFileSync(dataFileOf(directory), dataFileOf(copy));
  for (const path of [dataFileOf(copy), copy, dirname(copy)]) syncPath(path);
  const prefix = `${basename(directory)}.${label}.`;
  const copies = readdirSync(dirname(directory)).filter((name) => name.startsWith(prefix));
  for (const name of copies.sort().slice(0, -keptMax)) {
    rmSync(join(dirname(directory), name), { recursive: true });
  }
  return copy;
}

/** Moves the records to `<state>.<label>.<time>`, which is told; the state is empty then. */
export function setStateAside(directory: string, label: string, nowMs: number): string {
  const aside = asideOf(directory, label, nowMs);
  mkdirSync(aside, { mode: 0o700 });
  rmSync(lockFileOf(directory), { force: true });
  renameSync(dataFileOf(directory), dataFileOf(aside));
  for (const path of [aside, directory, dirname(aside)]) syncPath(path);
  return aside;
}

/** Times sort as text. */
function asideOf(directory: string, label: string, nowMs: number): string {
  const time = new Date(nowMs).toISOString().replaceAll(/[-:]/g, '');
  return `${directory}.${label}.${time}`;
}

/** What was given or taken away in a directory, or written to a file, is on disk. */
export function syncPath(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
