// jobs, media: the disks of a VM: a directory with one overlay for each image that the guest may write to. The image
// itself is shared by its VMs and never changed.

import { closeSync, existsSync, fstatSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type {
  DiskImage,
  ImageReference,
  KnownImage,
  KnownImages,
  RecalledImage,
} from '../../../engine/ports/media-ports.ts';
import { replaceFile, syncDirectory } from '../durable.ts';
import { JobFault } from '../fault.ts';
import { namesIn } from '../if-present.ts';
import type { HostSettings, JobArgument, JobResult } from '../protocol.ts';
import {
  type Base,
  baseOf,
  isSameBase,
  isSameReference,
  namesWithBase,
  readBase,
  writeBase,
} from './base-files.ts';
import { bootProblem } from './boot-media.ts';
import { diskSizeOf, readerOf } from './disk-content.ts';
import { requireReserve } from './disk-space.ts';
import { HEAD_BYTES } from './formats/image-kinds.ts';
import { emptyOverlay, readQcow2 } from './formats/qcow2.ts';

/** Name of the base file of the initramfs. No disk can have this name. */
const INITRAMFS = '.initramfs';

/**
 * Creates the missing overlays of a VM. Existing overlays, with what the guest wrote, are kept as long as the config
 * names the same image. Throws MEDIA_INVALID, DISK_SPACE_LOW.
 */
export function provideDisks({
  settings,
  vmId,
  disks,
  initramfs,
}: JobArgument<'provideDisks'>): JobResult<'provideDisks'> {
  const directory = directoryOf(settings.diskDirectory, vmId);
  const isNew = mkdirSync(directory, { recursive: true, mode: 0o700 }) !== undefined;
  const isCached = (path: string) => dirname(path) === join(settings.cacheDirectory, 'sha256');
  if (initramfs !== null) {
    const base = foundBase(initramfs, 'initramfs');
    const problem = bootProblem(settings, initramfs.path, 'initramfs');
    if (problem !== null) throw invalidInitramfs(problem);
    writeBase(directory, INITRAMFS, base);
  }
  // All images are checked before any overlay is removed.
  const sizes = disks.map(checkedSize);
  for (const image of disks) requireKept(directory, image);
  const provided = disks.map((image, index) => {
    const overlay = overlayOf(directory, image.name);
    settleBase(directory, image, isCached(image.path));
    const sizeBytes = sizes[index] ?? 0;
    const { path, format } = image;
    if (image.readonly) return { path, format, basePath: null, sizeBytes };
    if (!existsSync(overlay)) {
      requireReserve(directory, `Disk ${image.name}`);
      replaceFile(overlay, emptyOverlay(path, format, sizeBytes));
    }
    return { path: overlay, format: 'qcow2' as const, basePath: path, sizeBytes };
  });
  syncDirectory(directory);
  if (isNew) syncDirectory(settings.diskDirectory);
  return provided;
}

/** Returns the images that a VM used at its last start and that still exist unchanged. */
export function recallImages({ settings, vmId }: JobArgument<'recallImages'>): KnownImages {
  const directory = directoryOf(settings.diskDirectory, vmId);
  const disks = new Map<string, RecalledImage>();
  for (const name of namesWithBase(directory)) {
    const base = readBase(directory, name);
    const now = base && baseOf(base.reference, base.path);
    if (base === null || now === null || !isSameBase(base, now)) continue;
    const { reference, path, sizeBytes } = base;
    disks.set(name, { reference, path, sizeBytes });
  }
  const initramfs = disks.get(INITRAMFS) ?? null;
  disks.delete(INITRAMFS);
  return { initramfs, disks };
}

/** Removes the disks of a VM. Absent ones are no error. */
export function removeDisks({ diskDirectory }: HostSettings, vmId: number): void {
  rmSync(directoryOf(diskDirectory, vmId), { recursive: true, force: true });
}

/** Returns the ids of VMs that have a disk directory. */
export function listDiskDirectories(diskDirectory: string): number[] {
  return namesIn(diskDirectory)
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Returns the disk directory of a VM. */
export function directoryOf(diskDirectory: string, vmId: number): string {
  return join(diskDirectory, String(vmId));
}

function overlayOf(directory: string, name: string): string {
  return join(directory, `${name}.qcow2`);
}

/** The size that a guest sees. MEDIA_INVALID. */
function checkedSize(image: DiskImage): number {
  const found = diskSizeOf(image.path, image);
  if (typeof found === 'object') throw invalid(image, found.problem);
  return found;
}

/**
 * Updates the base file before an overlay exists on it. An overlay whose config now names another image is removed.
 * An overlay whose image was changed in place is refused.
 */
function settleBase(directory: string, image: DiskImage, isCached: boolean): void {
  const overlay = overlayOf(directory, image.name);
  const before = readBase(directory, image.name);
  const base = foundBase(image, image.name);
  if (before !== null && isSameReference(before.reference, image.reference)) {
    // An image of the cache is named by its digest, so it is the same after another download.
    const isSame = isSameBase(before, base) || (isCached && before.path === base.path);
    if (!isSame && existsSync(overlay)) throw changedInPlace(image);
  } else if (before !== null) {
    rmSync(overlay, { force: true });
    syncDirectory(directory);
  } else if (existsSync(overlay)) {
    throw invalid(image, 'has an overlay, but its base file is missing; delete the VM');
  }
  writeBase(directory, image.name, base);
}

/**
 * Refuses to replace a missing overlay by an empty one: after a restore without the disks, or with older ones, the
 * operator must decide. When the config names another image than before, the old overlay may be removed.
 */
function requireKept(directory: string, image: DiskImage): void {
  const { made, name } = image;
  const overlay = overlayOf(directory, name);
  const remedy = `put ${overlay} back from a backup, or delete the VM and create it again`;
  const base = readBase(directory, name);
  if (made === null) return;
  if (!isSameReference(made.reference, image.reference)) {
    const mayGo = base === null || isOneOf(base.reference, made.reference, image.reference);
    if (mayGo || !existsSync(overlay)) return;
    throw invalid(image, `has an overlay that the records do not know: ${remedy}`);
  }
  if (image.readonly) return;
  if (!existsSync(overlay)) {
    throw invalid(image, `has lost what the guest wrote, its overlay is missing: ${remedy}`);
  }
  if (base !== null && !isSameReference(base.reference, image.reference)) {
    throw invalid(image, `has the overlay of another image than recorded: ${remedy}`);
  }
  if (isWhole(overlay, made.sizeBytes)) return;
  throw invalid(
    image,
    `has lost what the guest wrote, its overlay was emptied or truncated: ${remedy}`,
  );
}

function isOneOf(reference: ImageReference, ...others: readonly ImageReference[]): boolean {
  return others.some((other) => isSameReference(reference, other));
}

/** The overlay may have been enlarged, but not made smaller. */
function isWhole(overlay: string, sizeBytes: number): boolean {
  const fd = openSync(overlay, 'r');
  try {
    const facts = readQcow2(readerOf(fd)(0, HEAD_BYTES), fstatSync(fd).size);
    return facts?.damage === null && facts.virtualSizeBytes >= sizeBytes;
  } finally {
    closeSync(fd);
  }
}

function changedInPlace(image: DiskImage): JobFault {
  const why = 'has changed since the VM was made, and what the guest wrote does not apply to it';
  const remedy = 'put the old image back, name the new one by another path, or delete the VM';
  return invalid(image, `${why}: ${remedy}`);
}

function foundBase({ reference, path }: KnownImage, name: string): Base {
  const base = baseOf(reference, path);
  if (base === null) throw new JobFault('MEDIA_INVALID', `The image of ${name} is gone`);
  return base;
}

function invalidInitramfs(why: string): JobFault {
  const details = { 'initramfs.url': why };
  return new JobFault('MEDIA_INVALID', `The initramfs ${why}`, undefined, details);
}

function invalid({ name, field }: DiskImage, why: string): JobFault {
  const details = { [field]: why };
  return new JobFault('MEDIA_INVALID', `Disk ${name} ${why}`, undefined, details);
}
