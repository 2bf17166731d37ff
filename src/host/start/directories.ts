// host, start: the directories that a daemon needs for itself. Each must exist, be writable, and be used by no other
// daemon. Only for the start of the daemon: everything here blocks.

import { accessSync, constants, mkdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import { StartRefused } from '../../lib/refusal.ts';
import { native } from '../jobs/native.ts';

/** A directory, and the setting that names it. */
export interface NamedDirectory {
  readonly setting: string;
  readonly path: string;
}

/** Locks on directories, held until release() or the end of the process. */
export interface Locks {
  release(): void;
}

/**
 * Creates the directory when it is missing. Throws StartRefused, with the system's reason, when it cannot be created
 * or used.
 */
export function ensureDirectory({ setting, path }: NamedDirectory): void {
  try {
    makeDirectory(path);
  } catch (error) {
    throw unusable(setting, path, 'cannot be made', error);
  }
  try {
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw unusable(setting, path, 'cannot be written to', error);
  }
}

/** Locks each directory. Throws StartRefused when another daemon holds one of the locks. */
export function lockDirectories(directories: readonly NamedDirectory[]): Locks {
  const descriptors: number[] = [];
  const release = () => {
    for (const fd of descriptors.splice(0)) native.closeFd(fd);
  };
  const seen = new Set<string>();
  for (const directory of directories) {
    // Two settings may name the same directory.
    const path = realpathSync(directory.path);
    if (seen.has(path)) continue;
    seen.add(path);
    const result = lock(directory);
    if ('fd' in result) descriptors.push(result.fd);
    else {
      release();
      throw inUse(directory, result.heldBy);
    }
  }
  return { release };
}

function lock({ setting, path }: NamedDirectory) {
  try {
    return native.lockFile(join(path, 'volantd.lock'));
  } catch (error) {
    throw unusable(setting, path, 'cannot be locked', error);
  }
}

function inUse({ setting, path }: NamedDirectory, heldBy: number | null): StartRefused {
  const who = heldBy === null ? 'another volantd' : `volantd with pid ${heldBy}`;
  return new StartRefused(
    setting === 'VOLANT_HOME'
      ? `${who} serves ${path} already`
      : `${who} uses ${path} already: choose another directory with ${setting}`,
  );
}

/**
 * Creates the directory and its missing parents. Node's recursive mkdir reports many failures as ENOENT, and never
 * ends on some file systems.
 */
function makeDirectory(path: string): void {
  if (statSync(path, { throwIfNoEntry: false }) !== undefined) return;
  makeDirectory(dirname(path));
  mkdirSync(path, { mode: 0o700 });
}

/** The error as one sentence: the setting, the path, what is wrong, and the system's reason. */
export function unusable(
  setting: string,
  path: string,
  what: string,
  cause: unknown,
): StartRefused {
  return new StartRefused(`${setting}: ${path} ${what} (${reasonOf(cause)})`, { cause });
}

function reasonOf(error: unknown): string {
  const { code, errno } = error as NodeJS.ErrnoException;
  const text = errno === undefined ? undefined : getSystemErrorMap().get(errno)?.[1];
  if (text !== undefined) return `${code}: ${text}`;
  return error instanceof Error ? error.message : String(error);
}
