// workers: files in a directory that belongs to a hypervisor or to a helper. One that a guest has broken into may put
// there a link to a file of the host, or a pipe that nobody writes to.

import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { errnoOf } from './fault.ts';

/** What the kernel says when there is nothing, or something that is no plain file. */
const NO_FILE = ['ENOENT', 'ELOOP', 'ENXIO', 'EISDIR'];

/** undefined when there is no such file, or something else in its place, such as one that has other names where it may not. */
export function withForeignFile<T>(
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

/** The last bytes of it, `bytesMax` at most. */
export function readEnd(fd: number, bytesMax: number): Buffer {
  const { size } = fstatSync(fd);
  const buffer = Buffer.alloc(Math.min(size, bytesMax));
  const length = readSync(fd, buffer, 0, buffer.length, size - buffer.length);
  return buffer.subarray(0, length);
}
