// jobs, media: checks whether a file is the disk that the config describes, and how large a guest sees it. The
// formats are recognised by image-kinds.ts, qcow2.ts and file-systems.ts.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { DiskContent } from '../../../engine/ports/media-ports.ts';
import { rawProblem } from './formats/file-systems.ts';
import { HEAD_BYTES, TAIL_BYTES, unusableKind } from './formats/image-kinds.ts';
import { IMAGE_BYTES_MAX, readQcow2 } from './formats/qcow2.ts';
import { isQcow2Cut } from './formats/qcow2-tables.ts';

const SECTOR_BYTES = 512;

/** What is there of so many bytes from an offset. */
export type Reader = (offset: number, lengthBytes: number) => Buffer;

/**
 * The size that a guest sees, or why it cannot be a disk, to be said after its name. An image that names other files
 * could show a guest any file of the host.
 */
export function diskSizeOf(path: string, wanted: DiskContent): number | { problem: string } {
  const fd = openSync(path, 'r');
  try {
    return sizeIn(readerOf(fd), fstatSync(fd).size, wanted);
  } finally {
    closeSync(fd);
  }
}

export function readerOf(fd: number): Reader {
  return (offset, lengthBytes) => {
    const bytes = Buffer.alloc(lengthBytes);
    return bytes.subarray(0, readSync(fd, bytes, 0, lengthBytes, offset));
  };
}

function sizeIn(
  read: Reader,
  size: number,
  { format, fileSystem, isRoot }: DiskContent,
): number | { problem: string } {
  const head = read(0, HEAD_BYTES);
  const facts = readQcow2(head, size);
  if (facts === null) {
    const kind = unusableKind(head, read(Math.max(0, size - TAIL_BYTES), TAIL_BYTES), isRoot);
    if (kind !== null) return { problem: kind };
    if (format !== 'raw') return { problem: 'is not a qcow2 image' };
    if (size > IMAGE_BYTES_MAX) return { problem: 'is larger than 4 TiB' };
    const diskBytes = Math.ceil(size / SECTOR_BYTES) * SECTOR_BYTES;
    const problem = rawProblem(head, diskBytes, fileSystem);
    return problem === null ? diskBytes : { problem };
  }
  if (format === 'raw') {
    return { problem: `is a qcow2 image, but its format is given as ${fileSystem ?? format}` };
  }
  if (facts.problem !== null) return { problem: facts.problem };
  const isCut = isQcow2Cut(head, size, read);
  return isCut ? { problem: 'is truncated: a part of it is missing' } : facts.virtualSizeBytes;
}
