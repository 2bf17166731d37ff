// workers, job: keeps the cache of images under its budget. What a VM's disk is made of stays.

import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { LIMITS } from '../../config.ts';
import type { JobArgument } from '../protocol.ts';
import { listDiskDirectories } from './disks.ts';
import { errnoOf } from './fault.ts';

/** Removes what was used longest ago until the rest fits. Returns how many bytes were freed. */
export function trimCache({ settings }: JobArgument<'trimCache'>): number {
  const directory = join(settings.cacheDirectory, 'sha256');
  const files = listFiles(directory);
  const used = digestsInUse(settings.diskDirectory);
  let excess = files.reduce((sum, file) => sum + file.sizeBytes, 0) - settings.cacheBytesMax;
  let freed = 0;
  const oldestFirst = files.toSorted((a, b) => a.usedAtMs - b.usedAtMs);
  for (const { name, sizeBytes, usedAtMs } of oldestFirst) {
    if (excess <= 0) break;
    // A launch that has just asked for it has not made its disk yet.
    if (used.has(name) || Date.now() - usedAtMs < LIMITS.mediaKeepMs) continue;
    rmSync(join(directory, name), { force: true });
    excess -= sizeBytes;
    freed += sizeBytes;
  }
  return freed;
}

function listFiles(directory: string) {
  return namesIn(directory).map((name) => {
    const { size, atimeMs } = statSync(join(directory, name));
    return { name, sizeBytes: size, usedAtMs: atimeMs };
  });
}

function digestsInUse(diskDirectory: string): ReadonlySet<string> {
  return new Set(
    listDiskDirectories(diskDirectory).flatMap((vmId) => {
      const directory = join(diskDirectory, String(vmId));
      return namesIn(directory)
        .filter((name) => name.endsWith('.base.json'))
        .map((name) => {
          const { path } = JSON.parse(readFileSync(join(directory, name), 'utf8'));
          return basename(path);
        });
    }),
  );
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}
