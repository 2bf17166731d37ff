// jobs, media: reserves disk space for downloads. Those of one thread know here how much the others will still write, so two
// that fit only one at a time do not start together. Downloads share one thread; pulls of images have threads of their own
// and are not counted among them, but each checks the space again while it writes.

import { statfsSync } from 'node:fs';
import { LIMITS } from '../../../config/limits.ts';
import { JobFault } from '../fault.ts';

/** Bytes that each download under way will still write. */
const expected = new Map<DiskReservation, number>();

/** The disk space that one download needs. */
export class DiskReservation {
  readonly #directory: string;
  readonly #what: string;
  readonly #reserveBytes: number;

  /** `what` names the download in errors. `reserveBytes` of the disk must stay free. */
  constructor(directory: string, what: string, reserveBytes: number) {
    this.#directory = directory;
    this.#what = what;
    this.#reserveBytes = reserveBytes;
  }

  /**
   * Sets how much is still to be written. Throws DISK_SPACE_LOW when that does not fit beside what the other
   * downloads need.
   */
  require(remainingBytes: number): void {
    expected.set(this, remainingBytes);
    const wantedBytes = [...expected.values()].reduce((sum, bytes) => sum + bytes, 0);
    const missingBytes = wantedBytes + this.#reserveBytes - freeBytesOf(this.#directory);
    if (missingBytes > 0) throw diskSpaceLow(this.#what, missingBytes);
  }

  release(): void {
    expected.delete(this);
  }
}

/** Throws DISK_SPACE_LOW unless the reserve is free on the disk of this directory. */
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
