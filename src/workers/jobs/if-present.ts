// workers, job: reading what may be absent, where its absence says something: no driver, no disk, no VM any more.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { errnoOf } from './fault.ts';

/** undefined when there is no such file. */
export function textOf(path: string): string | undefined {
  return unlessMissing(() => readFileSync(path, 'utf8').trim());
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
    if (['ENOENT', 'ENOTDIR', 'ENODEV'].includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
}
