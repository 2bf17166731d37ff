// workers, job: reading what may be absent, where its absence says something: no driver, no disk, no VM any more.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { errnoOf } from './fault.ts';

const MISSING: readonly (string | undefined)[] = ['ENOENT', 'ENOTDIR', 'ENODEV'];

/**
 * What a file of the kernel says that belongs to a thing that goes at this moment: it can still be opened, and then
 * refuses to be read, in each subsystem in its own way. The flags of a network interface say EINVAL.
 */
const GOING: readonly (string | undefined)[] = ['EINVAL', 'ENXIO', 'EIO', 'ESRCH'];

/** Of a file of the kernel; undefined when there is no such file, or what it tells of goes at this moment. */
export function textOf(path: string): string | undefined {
  try {
    return unlessMissing(() => readFileSync(path, 'utf8').trim());
  } catch (error) {
    if (GOING.includes(errnoOf(error))) return undefined;
    throw error;
  }
}

/** Name of what a link leads to; empty when there is no link. */
export function linkTarget(path: string): string {
  return unlessMissing(() => basename(readlinkSync(path))) ?? '';
}

/** Empty when there is no such directory. */
export function namesIn(directory: string): string[] {
  return unlessMissing(() => readdirSync(directory)) ?? [];
}

/** undefined for what is not there, also when it went in the middle. */
export function unlessMissing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (MISSING.includes(errnoOf(error))) return undefined;
    throw error;
  }
}
