// workers, job: the disks of a VM: a directory with an overlay for each image that the guest may write
// to. The image itself is shared by all its VMs and never changed.

import { closeSync, existsSync, fstatSync, mkdirSync, openSync, readSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type {
  DiskImage,
  ImageReference,
  KnownImage,
  KnownImages,
  RecalledImage,
} from '../../engine/media-ports.ts';
import { rawProblem } from '../file-systems.ts';
import { foreignKind, HEAD_BYTES, TAIL_BYTES } from '../image-kinds.ts';
import type { JobArgument, JobResult } from '../protocol.ts';
import { emptyOverlay, IMAGE_BYTES_MAX, readQcow2 } from '../qcow2.ts';
import { isQcow2Cut } from '../qcow2-tables.ts';
import {
  type Base,
  baseOf,
  isSameBase,
  isSameReference,
  notedNames,
  readBase,
  writeBase,
} from './base-notes.ts';
import { replaceFile, syncDirectory } from './durable.ts';
import { JobFault } from './fault.ts';
import { namesIn } from './if-present.ts';
import { bootProblem } from './media.ts';
import { requireReserve } from './room.ts';

const SECTOR_BYTES = 512;
/** No disk can be named so. */
const INITRAMFS = '.initramfs';

/**
 * Makes what is missing of a VM's disks. Those that exist are kept, with what the guest wrote, as long as
 * their image is asked for by the same reference.
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
  // All of them are looked at before anything of one is given up.
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

/** What a VM was made of when it was started last, as far as that is still there as it was. */
export function recallImages({ settings, vmId }: JobArgument<'recallImages'>): KnownImages {
  const directory = directoryOf(settings.diskDirectory, vmId);
  const disks = new Map<string, RecalledImage>();
  for (const name of notedNames(directory)) {
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

/** Absent is fine. */
export function removeDisks({ settings, vmId }: JobArgument<'removeDisks'>): null {
  rmSync(directoryOf(settings.diskDirectory, vmId), { recursive: true, force: true });
  return null;
}

/** Ids of VMs that have a directory of disks. */
export function listDiskDirectories(diskDirectory: string): number[] {
  return namesIn(diskDirectory)
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Where the disks of a VM are. */
export function directoryOf(diskDirectory: string, vmId: number): string {
  return join(diskDirectory, String(vmId));
}

function overlayOf(directory: string, name: string): string {
  return join(directory, `${name}.qcow2`);
}

/** The size that a guest sees. An image that names other files could show a guest any file of the host. */
function checkedSize(image: DiskImage): number {
  const { path, format, fileSystem, isRoot } = image;
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    const read = reader(fd);
    const head = read(0, HEAD_BYTES);
    const facts = readQcow2(head, size);
    if (facts === null) {
      const kind = foreignKind(head, read(Math.max(0, size - TAIL_BYTES), TAIL_BYTES), isRoot);
      if (kind !== null) throw invalid(image, kind);
      if (format !== 'raw') throw invalid(image, 'is not a qcow2 image');
      if (size > IMAGE_BYTES_MAX) throw invalid(image, 'is larger than 4 TiB');
      const diskBytes = Math.ceil(size / SECTOR_BYTES) * SECTOR_BYTES;
      const problem = rawProblem(head, diskBytes, fileSystem);
      if (problem !== null) throw invalid(image, problem);
      return diskBytes;
    }
    if (format === 'raw') {
      const said = fileSystem ?? format;
      throw invalid(image, `is a qcow2 image, its format is said to be ${said}`);
    }
    if (facts.problem !== null) throw invalid(image, facts.problem);
    if (isQcow2Cut(head, size, read))
      throw invalid(image, 'is cut: a part of it is not in the file');
    return facts.virtualSizeBytes;
  } finally {
    closeSync(fd);
  }
}

/** What is there of so many bytes from an offset. */
function reader(fd: number): (offset: number, lengthBytes: number) => Buffer {
  return (offset, lengthBytes) => {
    const bytes = Buffer.alloc(lengthBytes);
    return bytes.subarray(0, readSync(fd, bytes, 0, lengthBytes, offset));
  };
}

/**
 * Sees to it that the note of the base is right before there is an overlay on it. An overlay whose image is
 * asked for by another reference goes; one whose image was changed in its place is refused.
 */
function settleBase(directory: string, image: DiskImage, isCached: boolean): void {
  const overlay = overlayOf(directory, image.name);
  const before = readBase(directory, image.name);
  const base = foundBase(image, image.name);
  if (before !== null && isSameReference(before.reference, image.reference)) {
    // What is named by its content is the same, also when it was downloaded again.
    const isSame = isSameBase(before, base) || (isCached && before.path === base.path);
    if (!isSame && existsSync(overlay)) throw changedInPlace(image);
  } else if (before !== null) {
    rmSync(overlay, { force: true });
    syncDirectory(directory);
  } else if (existsSync(overlay)) {
    throw invalid(image, 'has an overlay, and the note of its image is lost; delete the VM');
  }
  writeBase(directory, image.name, base);
}

/**
 * What a guest wrote is not replaced by nothing: after a restore without the disks, or with those of another day, a
 * person must know. Where the owner asks for another image than before, the overlay of the one before may go.
 */
function requireKept(directory: string, image: DiskImage): void {
  const { made, name } = image;
  const overlay = overlayOf(directory, name);
  const remedy = `put ${overlay} back from a backup, or delete the VM and create it anew`;
  const note = readBase(directory, name);
  if (made === null) return;
  if (!isSameReference(made.reference, image.reference)) {
    const mayGo = note === null || isOneOf(note.reference, made.reference, image.reference);
    if (mayGo || !existsSync(overlay)) return;
    throw invalid(image, `has an overlay that the records do not know: ${remedy}`);
  }
  if (image.readonly) return;
  if (!existsSync(overlay)) {
    throw invalid(image, `has lost what the guest wrote, its overlay is missing: ${remedy}`);
  }
  if (note !== null && !isSameReference(note.reference, image.reference)) {
    throw invalid(image, `has the overlay of another image than the records say: ${remedy}`);
  }
  if (isWhole(overlay, made.sizeBytes)) return;
  throw invalid(image, `has lost what the guest wrote, its overlay was emptied or cut: ${remedy}`);
}

function isOneOf(reference: ImageReference, ...others: readonly ImageReference[]): boolean {
  return others.some((other) => isSameReference(reference, other));
}

/** It may have been made larger, never smaller. */
function isWhole(overlay: string, sizeBytes: number): boolean {
  const fd = openSync(overlay, 'r');
  try {
    const facts = readQcow2(reader(fd)(0, HEAD_BYTES), fstatSync(fd).size);
    return facts?.damage === null && facts.virtualSizeBytes >= sizeBytes;
  } finally {
    closeSync(fd);
  }
}

function changedInPlace(image: DiskImage): JobFault {
  const why = 'has changed since the VM was made, and what the guest wrote does not fit it';
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
