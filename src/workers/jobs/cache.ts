// workers, job: keeps the cache of images under its budget. What a VM is made of stays, and so does what
// a launch is about to use.

import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { LIMITS } from '../../config.ts';
import type { JobArgument } from '../protocol.ts';
import { cachedBasesIn } from './base-notes.ts';
import { listDiskDirectories } from './disks.ts';
import { errnoOf } from './fault.ts';

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
  const images = filesIn(join(cacheDirectory, 'sha256'), 'atimeMs');
  const partials = filesIn(join(cacheDirectory, 'partial'), 'mtimeMs');
  trimNotes(join(cacheDirectory, 'urls'));
  const used = digestsInUse(diskDirectory);
  const spare = [
    // Without every note nobody knows what is in use: then all of it is.
    ...(used === null
      ? []
      : images.filter(({ name }) => !used.has(name) && !pinned.includes(name))),
    ...partials,
  ].toSorted((one, other) => one.usedAtMs - other.usedAtMs);
  const totalBytes = [...images, ...partials].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const wantedBytes = Math.max(totalBytes - cacheBytesMax, freeBytes);
  let freed = 0;
  for (const { path, sizeBytes, usedAtMs } of spare) {
    const ageMs = Date.now() - usedAtMs;
    const isGivenUp =
      partials.some((one) => one.path === path) && ageMs > LIMITS.mediaPartialKeepMs;
    // What was used a moment ago may be on its way into a launch, or still arrive.
    if (!isGivenUp && (freed >= wantedBytes || ageMs < LIMITS.mediaKeepMs)) continue;
    rmSync(path, { force: true });
    freed += sizeBytes;
  }
  return freed;
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

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}
