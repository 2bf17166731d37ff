// jobs: reads files in a directory that belongs to a hypervisor or to a helper process. A compromised process may
// replace such a file by a link to a file of the host, or by a pipe without a writer.

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { errnoOf } from './fault.ts';

/** Errors of open(2) for a name that does not exist or is not a regular file. */
const NO_FILE = ['ENOENT', 'ELOOP', 'ENXIO', 'EISDIR'];

/**
 * Opens the file and passes its descriptor to `action`. undefined: there is no such file, it is not a regular file,
 * or it has other hard links although `mayBeLinked` is false.
 */
export function withUntrustedFile<T>(
  path: string,
  flags: number,
  action: (fd: number) => T,
  { mayBeLinked = false } = {},
): T | undefined {
  let fd: number;
  try {
    fd = openSync(path, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (NO_FILE.includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
  try {
    const facts = fstatSync(fd);
    return facts.isFile() && (mayBeLinked || facts.nlink === 1) ? action(fd) : undefined;
  } finally {
    closeSync(fd);
  }
}

/** Returns the last bytes of a file, `bytesMax` at most. */
export function readEnd(fd: number, bytesMax: number): Buffer {
  const { size } = fstatSync(fd);
  const buffer = Buffer.alloc(Math.min(size, bytesMax));
  const length = readSync(fd, buffer, 0, buffer.length, size - buffer.length);
  return buffer.subarray(0, length);
}
