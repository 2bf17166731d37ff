// jobs: reads files, links and directories that may be absent, when their absence has a meaning: no driver, no disk,
// no VM.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { errnoOf } from './fault.ts';

const MISSING: readonly (string | undefined)[] = ['ENOENT', 'ENOTDIR', 'ENODEV'];

/**
 * Errors of reading a kernel file whose object is being removed: the file can still be opened. They differ between
 * subsystems; the flags of a network interface return EINVAL.
 */
const GOING: readonly (string | undefined)[] = ['EINVAL', 'ENXIO', 'EIO', 'ESRCH'];

/** Returns the trimmed text of a kernel file. undefined: there is no such file, or its object is being removed. */
export function textOf(path: string): string | undefined {
  try {
    return unlessMissing(() => readFileSync(path, 'utf8').trim());
  } catch (error) {
    if (GOING.includes(errnoOf(error))) return undefined;
    throw error;
  }
}

/** Returns the base name of a link's target; empty when there is no link. */
export function linkTarget(path: string): string {
  return unlessMissing(() => basename(readlinkSync(path))) ?? '';
}

/** Returns the names in a directory; empty when there is no such directory. */
export function namesIn(directory: string): string[] {
  return unlessMissing(() => readdirSync(directory)) ?? [];
}

/** Returns undefined when the object is missing, also when it was removed during the reading. */
export function unlessMissing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (MISSING.includes(errnoOf(error))) return undefined;
    throw error;
  }
}
