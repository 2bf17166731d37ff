// workers, job: the disks of a VM: a directory with an overlay for each image that the guest may write
// to. The image itself is shared by all its VMs and never changed.

import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { JobArgument, JobResult } from '../protocol.ts';
import { type DiskFormat, emptyOverlay, readQcow2 } from '../qcow2.ts';
import { errnoOf, JobFault } from './fault.ts';

const HEAD_BYTES = 512;
const SECTOR_BYTES = 512;

/** What an overlay was made from: on another base its blocks would be nonsense. */
interface Base {
  readonly path: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  readonly inode: number;
}

/** Makes what is missing of a VM's disks. Those that exist are kept, with what the guest wrote. */
export function provideDisks({
  settings,
  vmId,
  disks,
}: JobArgument<'provideDisks'>): JobResult<'provideDisks'> {
  const directory = directoryOf(settings.diskDirectory, vmId);
  return disks.map(({ name, path, format, readonly }) => {
    const sizeBytes = checkedSize(name, path, format);
    const overlay = join(directory, `${name}.qcow2`);
    requireSameBase(name, directory, overlay, path);
    if (readonly) return { path, format };
    if (!existsSync(overlay)) makeOverlay(overlay, path, format, sizeBytes);
    return { path: overlay, format: 'qcow2' };
  });
}

/** Absent is fine. */
export function removeDisks({ settings, vmId }: JobArgument<'removeDisks'>): null {
  rmSync(directoryOf(settings.diskDirectory, vmId), { recursive: true, force: true });
  return null;
}

/** Ids of VMs that have a directory of disks. */
export function listDiskDirectories(diskDirectory: string): number[] {
  try {
    return readdirSync(diskDirectory)
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** Where the disks of a VM are. */
export function directoryOf(diskDirectory: string, vmId: number): string {
  return join(diskDirectory, String(vmId));
}

/** The size that a guest sees. An image that names other files could show a guest any file of the host. */
function checkedSize(name: string, path: string, format: DiskFormat): number {
  const fd = openSync(path, 'r');
  try {
    const head = Buffer.alloc(HEAD_BYTES);
    const length = readSync(fd, head, 0, HEAD_BYTES, 0);
    const facts = readQcow2(head.subarray(0, length));
    if (format === 'raw') {
      if (facts !== null) throw invalid(name, 'is a qcow2 image, its format is said to be raw');
      const { size } = statSync(path);
      return Math.ceil(size / SECTOR_BYTES) * SECTOR_BYTES;
    }
    if (facts === null) throw invalid(name, 'is not a qcow2 image');
    if (facts.needsOtherFile) throw invalid(name, 'needs other files; flatten it');
    return facts.virtualSizeBytes;
  } finally {
    closeSync(fd);
  }
}

function baseOf(path: string): Base {
  const { size, mtimeMs, ino } = statSync(path);
  return { path, sizeBytes: size, modifiedMs: mtimeMs, inode: ino };
}

/** The note of the base comes first: an overlay without one would be of no use. */
function requireSameBase(name: string, directory: string, overlay: string, path: string): void {
  const note = `${overlay}.base.json`;
  const base = JSON.stringify(baseOf(path));
  if (existsSync(overlay)) {
    if (readFileSync(note, 'utf8') === base) return;
    throw invalid(
      name,
      'has another image than when the VM was made: what the guest wrote does not fit it',
    );
  }
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeFileSync(note, base);
}

function makeOverlay(overlay: string, base: string, format: DiskFormat, sizeBytes: number): void {
  const temporary = `${overlay}.new`;
  const fd = openSync(temporary, 'w', 0o600);
  try {
    writeSync(fd, emptyOverlay(base, format, sizeBytes));
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, overlay);
}

function invalid(name: string, why: string): JobFault {
  return new JobFault('MEDIA_INVALID', `Disk ${name} ${why}`);
}
