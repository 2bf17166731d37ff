// workers, job: keeps the cache of images under its budget. What a VM is made of stays, and so does what
// a launch is about to use.

import { rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { LIMITS } from '../../config.ts';
import type { JobArgument } from '../protocol.ts';
import { cachedBasesIn } from './base-notes.ts';
import { listDiskDirectories } from './disks.ts';
import { namesIn } from './if-present.ts';

interface CacheFile {
  readonly path: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly usedAtMs: number;
}

/**
 * Removes what was used longest ago until the rest fits, and until `freeBytes` were freed. Images with a
 * digest of `pinned` stay. Returns how many bytes were freed.
 */
export function trimCache({ settings, pinned, freeBytes }: JobArgument<'trimCache'>): number {
  const { cacheDirectory, cacheBytesMax, diskDirectory } = settings;
  trimNotes(join(cacheDirectory, 'urls'));
  const images = filesIn(join(cacheDirectory, 'sha256'), 'atimeMs');
  // The note of a partial file goes with it.
  const partials = filesIn(join(cacheDirectory, 'partial'), 'mtimeMs').filter(
    ({ name }) => !name.endsWith('.json'),
  );
  // A time to come is of a clock that was set back since: such a file is not kept until that time is there.
  const ageMs = ({ usedAtMs }: CacheFile) => Math.abs(Date.now() - usedAtMs);
  const givenUp = partials.filter((file) => ageMs(file) > LIMITS.mediaPartialKeepMs);
  const all = [...images, ...partials];
  const excessBytes = Math.max(sizeOf(all) - cacheBytesMax, freeBytes) - sizeOf(givenUp);
  // What was used a moment ago may be on its way into a launch, or still arrive.
  const old = all
    .filter((file) => !givenUp.includes(file) && ageMs(file) >= LIMITS.mediaKeepMs)
    .toSorted((one, other) => one.usedAtMs - other.usedAtMs);
  const spare = excessBytes <= 0 ? [] : unused(old, diskDirectory, pinned);
  return sizeOf(givenUp.map(removed)) + removeUntil(spare, excessBytes);
}

/** Without every note nobody knows which images are in use: then all of them are. */
function unused(files: readonly CacheFile[], diskDirectory: string, pinned: readonly string[]) {
  const used = digestsInUse(diskDirectory);
  const isImage = ({ path }: CacheFile) => basename(dirname(path)) === 'sha256';
  return files.filter(
    (file) =>
      !isImage(file) || (used !== null && !used.has(file.name) && !pinned.includes(file.name)),
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

/** Which address had which content: the newest notes are kept. */
function trimNotes(directory: string): void {
  const oldestFirst = filesIn(directory, 'mtimeMs').toSorted((a, b) => a.usedAtMs - b.usedAtMs);
  const excess = oldestFirst.length - LIMITS.mediaNotesMax;
  for (const { path } of oldestFirst.slice(0, Math.max(0, excess))) rmSync(path, { force: true });
}

/** null when a note cannot be read. */
function digestsInUse(diskDirectory: string): ReadonlySet<string> | null {
  try {
    const vmIds = listDiskDirectories(diskDirectory);
    return new Set(vmIds.flatMap((vmId) => cachedBasesIn(join(diskDirectory, String(vmId)))));
  } catch {
    // Whatever is wrong with it: what is kept too long can go later.
    return null;
  }
}

function filesIn(directory: string, time: 'atimeMs' | 'mtimeMs'): CacheFile[] {
  return namesIn(directory).flatMap((name) => {
    const path = join(directory, name);
    const facts = statSync(path, { throwIfNoEntry: false });
    if (facts === undefined) return [];
    return [{ path, name, sizeBytes: facts.size, usedAtMs: facts[time] }];
  });
}
