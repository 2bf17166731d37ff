// jobs, media: the base files: for each disk of a VM, a JSON file beside its overlay that records which image the
// overlay is based on. By them a start knows that the image is here, and the cache which images it must keep.

import { readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { ImageReference } from '../../../engine/ports/media-ports.ts';
import { readJson, replaceFile } from '../durable.ts';
import { namesIn } from '../if-present.ts';

const SUFFIX = '.base.json';

/** The image that an overlay is based on. On another image the overlay's blocks would be meaningless. */
export interface Base {
  /** The image as the config names it. */
  readonly reference: ImageReference;
  /** The file that was found for it. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  readonly inode: number;
}

/** Describes the image as it is now. null: the file does not exist. */
export function baseOf(reference: ImageReference, path: string): Base | null {
  const facts = statSync(path, { throwIfNoEntry: false });
  if (facts === undefined) return null;
  const { size, mtimeMs, ino } = facts;
  return { reference, path, sizeBytes: size, modifiedMs: mtimeMs, inode: ino };
}

export function isSameReference(one: ImageReference, other: ImageReference): boolean {
  return one.location === other.location && one.checksum === other.checksum;
}

/** Whether both describe the same, unchanged file. */
export function isSameBase(one: Base, other: Base): boolean {
  return (
    one.path === other.path &&
    one.sizeBytes === other.sizeBytes &&
    one.modifiedMs === other.modifiedMs &&
    one.inode === other.inode
  );
}

/** Reads a base file. null: there is none, or it is not readable as JSON. */
export function readBase(directory: string, name: string): Base | null {
  try {
    return readJson(baseFilePath(directory, name)) as Base | null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Writes a base file, unless it has this content already. */
export function writeBase(directory: string, name: string, base: Base): void {
  const before = readBase(directory, name);
  const isRecorded =
    before !== null &&
    isSameReference(before.reference, base.reference) &&
    isSameBase(before, base);
  if (!isRecorded) replaceFile(baseFilePath(directory, name), JSON.stringify(base));
}

/** Returns the names of the disks that have a base file. */
export function namesWithBase(directory: string): string[] {
  return namesIn(directory)
    .filter((name) => name.endsWith(SUFFIX))
    .map((name) => name.slice(0, -SUFFIX.length));
}

/**
 * Returns the digests of the cached images that a VM's disks are based on. Throws for a base file that cannot be
 * read.
 */
export function cachedBasesIn(directory: string): string[] {
  return namesWithBase(directory).map((name) => {
    const { path } = JSON.parse(readFileSync(baseFilePath(directory, name), 'utf8'));
    return basename(path);
  });
}

function baseFilePath(directory: string, name: string): string {
  return join(directory, `${name}${SUFFIX}`);
}
