// jobs, media: keeps the image cache within its budget. Images that disks are based on, and images that a launch is
// about to use, are kept.

import { rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { LIMITS } from '../../../config/limits.ts';
import { namesIn } from '../if-present.ts';
import type { JobArgument } from '../protocol.ts';
import { cachedBasesIn } from './base-files.ts';
import { listDiskDirectories } from './disks.ts';

/** The unit of `blocks` (stat(2)). */
const BLOCK_BYTES = 512;

interface CacheFile {
  readonly path: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly usedAtMs: number;
}

/**
 * Removes the least recently used files until the rest fits the budget and at least `freeBytes` were freed. Images
 * with a digest in `pinned` are kept. Returns the number of bytes that were freed.
 */
export function trimCache({ settings, pinned, freeBytes }: JobArgument<'trimCache'>): number {
  const { cacheDirectory, cacheBytesMax, diskDirectory } = settings;
  trimRecords(join(cacheDirectory, 'urls'), LIMITS.mediaUrlRecordsMax);
  trimRecords(join(cacheDirectory, 'image-names'), LIMITS.imageNamesMax);
  // Blobs of container images are needed for a build only, and are no one's disk.
  const images = ['sha256', 'images', 'blobs/sha256'].flatMap((name) =>
    filesIn(join(cacheDirectory, name), 'atimeMs').filter((file) => !file.name.endsWith('.json')),
  );
  // The JSON file beside a partial download is removed with it.
  const partials = filesIn(join(cacheDirectory, 'partial'), 'mtimeMs').filter(
    ({ name }) => !name.endsWith('.json'),
  );
  // A time in the future comes from a clock that was set back since. Such a file does not stay until that time.
  const ageMs = ({ usedAtMs }: CacheFile) => Math.abs(Date.now() - usedAtMs);
  const givenUp = partials.filter((file) => ageMs(file) > LIMITS.mediaPartialKeepMs);
  const all = [...images, ...partials];
  const excessBytes = Math.max(sizeOf(all) - cacheBytesMax, freeBytes) - sizeOf(givenUp);
  // A file that was used a moment ago may be part of a launch under way, or still be downloaded.
  const old = all
    .filter((file) => !givenUp.includes(file) && ageMs(file) >= LIMITS.mediaKeepMs)
    .toSorted((one, other) => one.usedAtMs - other.usedAtMs);
  const spare = excessBytes <= 0 ? [] : unused(old, diskDirectory, pinned);
  return sizeOf(givenUp.map(removed)) + removeUntil(spare, excessBytes);
}

/** If one base file cannot be read, all images count as in use. */
function unused(files: readonly CacheFile[], diskDirectory: string, pinned: readonly string[]) {
  const used = imagesInUse(diskDirectory);
  const isPartial = ({ path }: CacheFile) => basename(dirname(path)) === 'partial';
  return files.filter(
    (file) =>
      isPartial(file) || (used !== null && !used.has(file.name) && !pinned.includes(file.name)),
  );
}

function removeUntil(files: readonly CacheFile[], wantedBytes: number): number {
  let freed = 0;
  for (const file of files) {
    if (freed >= wantedBytes) break;
    freed += removed(file).sizeBytes;
  }
  return freed;
}

function removed(file: CacheFile): CacheFile {
  rmSync(file.path, { force: true });
  rmSync(`${file.path}.json`, { force: true });
  return file;
}

function sizeOf(files: readonly CacheFile[]): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/** Removes the oldest files that say which content a URL, or which digest a name had. */
function trimRecords(directory: string, most: number): void {
  const oldestFirst = filesIn(directory, 'mtimeMs').toSorted((a, b) => a.usedAtMs - b.usedAtMs);
  const excess = oldestFirst.length - most;
  for (const { path } of oldestFirst.slice(0, Math.max(0, excess))) rmSync(path, { force: true });
}

/** Returns the names of the files that disks are based on; null when a base file cannot be read. */
export function imagesInUse(diskDirectory: string): ReadonlySet<string> | null {
  try {
    const vmIds = listDiskDirectories(diskDirectory);
    return new Set(vmIds.flatMap((vmId) => cachedBasesIn(join(diskDirectory, String(vmId)))));
  } catch {
    // Whatever the error is: an image that is kept too long can be removed later.
    return null;
  }
}

function filesIn(directory: string, time: 'atimeMs' | 'mtimeMs'): CacheFile[] {
  return namesIn(directory).flatMap((name) => {
    const path = join(directory, name);
    const facts = statSync(path, { throwIfNoEntry: false });
    if (facts === undefined) return [];
    // A root disk is mostly holes.
    const sizeBytes = Math.min(facts.size, facts.blocks * BLOCK_BYTES);
    return [{ path, name, sizeBytes, usedAtMs: facts[time] }];
  });
}
