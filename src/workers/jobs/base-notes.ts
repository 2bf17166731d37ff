// workers: notes of what the disks of a VM are made of, one file for each beside the overlays. By them a
// start knows that the image is here, and the cache what it must keep.

import { readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { ImageReference } from '../../engine/media-ports.ts';
import { readJson, replaceFile } from './durable.ts';
import { namesIn } from './if-present.ts';

const SUFFIX = '.base.json';

/** The image of an overlay: on another one its blocks would be nonsense. */
export interface Base {
  /** What the owner asked for. */
  readonly reference: ImageReference;
  /** What was found for it. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  readonly inode: number;
}

/** null when the file is not there. */
export function baseOf(reference: ImageReference, path: string): Base | null {
  const facts = statSync(path, { throwIfNoEntry: false });
  if (facts === undefined) return null;
  const { size, mtimeMs, ino } = facts;
  return { reference, path, sizeBytes: size, modifiedMs: mtimeMs, inode: ino };
}

export function isSameReference(one: ImageReference, other: ImageReference): boolean {
  return one.location === other.location && one.checksum === other.checksum;
}

/** The very file that it was. */
export function isSameBase(one: Base, other: Base): boolean {
  return (
    one.path === other.path &&
    one.sizeBytes === other.sizeBytes &&
    one.modifiedMs === other.modifiedMs &&
    one.inode === other.inode
  );
}

/** null when there is none, or none that can be read. */
export function readBase(directory: string, name: string): Base | null {
  try {
    return readJson(notePath(directory, name)) as Base | null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Written only when it says something new. */
export function writeBase(directory: string, name: string, base: Base): void {
  const before = readBase(directory, name);
  const isNoted =
    before !== null &&
    isSameReference(before.reference, base.reference) &&
    isSameBase(before, base);
  if (!isNoted) replaceFile(notePath(directory, name), JSON.stringify(base));
}

/** The names that there are notes for. */
export function notedNames(directory: string): string[] {
  return namesIn(directory)
    .filter((name) => name.endsWith(SUFFIX))
    .map((name) => name.slice(0, -SUFFIX.length));
}

/** Digests of the cached images that a VM is made of. Throws for a note that cannot be read. */
export function cachedBasesIn(directory: string): string[] {
  return notedNames(directory).map((name) => {
    const { path } = JSON.parse(readFileSync(notePath(directory, name), 'utf8'));
    return basename(path);
  });
}

function notePath(directory: string, name: string): string {
  return join(directory, `${name}${SUFFIX}`);
}
