// jobs: small files that must be complete after a power failure.

import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { errnoOf } from './fault.ts';

/**
 * Replaces a file atomically: it has its old content or the new one, never a part. The new name is durable after
 * syncDirectory, not before, so that several files of one directory share one sync.
 */
export function replaceFile(path: string, content: string | Uint8Array): void {
  const temporary = `${path}.new`;
  const fd = openSync(temporary, 'w', 0o600);
  try {
    writeFileSync(fd, content);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
}

/** Makes the creation, renaming and removal of a directory's files durable. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Reads a JSON file. null: there is no file. Throws SyntaxError for a file that is not JSON. */
export function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  }
}
