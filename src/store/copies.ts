// store: copies a state, or moves it away, into a directory beside it. No transaction may be in progress.
// Only for the start of the daemon: everything here blocks.

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
 * Copies the state durably to `<state>.<label>.<time>` and returns that path. Of the copies with this label the
 * newest `keptMax` are kept.
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

/** Moves the records to `<state>.<label>.<time>` and returns that path. The state is empty afterwards. */
export function setStateAside(directory: string, label: string, nowMs: number): string {
  const aside = asideOf(directory, label, nowMs);
  mkdirSync(aside, { mode: 0o700 });
  rmSync(lockFileOf(directory), { force: true });
  renameSync(dataFileOf(directory), dataFileOf(aside));
  for (const path of [aside, directory, dirname(aside)]) syncPath(path);
  return aside;
}

/** The path with the time in a form that sorts as text. */
function asideOf(directory: string, label: string, nowMs: number): string {
  const time = new Date(nowMs).toISOString().replaceAll(/[-:]/g, '');
  return `${directory}.${label}.${time}`;
}

/** Makes the changes of a file or a directory durable. */
export function syncPath(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
