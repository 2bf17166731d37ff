// workers: room on the disk for downloads. They run on one thread: each knows here what the others will
// still write, so that two that fit alone are not begun together.

import { statfsSync } from 'node:fs';
import { LIMITS } from '../../config.ts';
import { JobFault } from './fault.ts';

/** What each download under way will still write, in bytes. */
const expected = new Map<Room, number>();

export class Room {
  readonly #directory: string;
  readonly #what: string;

  /** For one download; `what` is its name in the error. */
  constructor(directory: string, what: string) {
    this.#directory = directory;
    this.#what = what;
  }

  /** So much is still to come. DISK_SPACE_LOW when it does not fit beside what the others expect. */
  require(remainingBytes: number): void {
    expected.set(this, remainingBytes);
    const wantedBytes = [...expected.values()].reduce((sum, bytes) => sum + bytes, 0);
    const missingBytes = wantedBytes + LIMITS.diskReserveBytes - freeBytesOf(this.#directory);
    if (missingBytes > 0) throw diskSpaceLow(this.#what, missingBytes);
  }

  release(): void {
    expected.delete(this);
  }
}

/** DISK_SPACE_LOW unless the reserve is free where this directory is. */
export function requireReserve(directory: string, what: string): void {
  const missingBytes = LIMITS.diskReserveBytes - freeBytesOf(directory);
  if (missingBytes > 0) throw diskSpaceLow(what, missingBytes);
}

function freeBytesOf(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
}

function diskSpaceLow(what: string, missingBytes: number): JobFault {
  const mebibytes = Math.ceil(missingBytes / 2 ** 20);
  const why = `${what} does not fit on the disk: ${mebibytes} MiB are missing`;
  return new JobFault('DISK_SPACE_LOW', why, undefined, { missing_bytes: String(missingBytes) });
}
