// jobs, media: how much guest memory the kernel and the initramfs take, according to their own headers. An unknown
// format has no size.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { BootSizes, InitramfsSizes } from '../../../engine/ports/media-ports.ts';
import type { JobArgument } from '../protocol.ts';

/** Enough for the header and the program headers of an ELF file, and for the header of a bzImage. */
const HEAD_BYTES = 4096;

/** The header of a bzImage and the memory that it is unpacked in (linux/Documentation/arch/x86/boot.rst). */
const BZIMAGE_MAGIC = 0x53726448;
const BZIMAGE_MAGIC_AT = 0x202;
const BZIMAGE_INIT_SIZE_AT = 0x260;
/** The rest of init_size is the packed kernel, which is free once the kernel runs. Measured with Debian's kernels. */
const BZIMAGE_KERNEL_PART = 6 / 7;

/** The 64-bit format of elf(5). */
const ELF_MAGIC = 0x464c457f;
const ELF_CLASS_64 = 2;
const PT_LOAD = 1;
const PROGRAM_HEADER_BYTES = 56;

const GZIP_MAGIC = 0x8b1f;

interface FileParts {
  readonly size: number;
  readonly head: Buffer;
  readonly tail: Buffer;
}

/** Measures both files. The caller has checked that the paths may be used. */
export function measureBoot({ kernelPath, initramfsPath }: JobArgument<'measureBoot'>): BootSizes {
  return {
    kernelBytes: kernelBytesOf(partsOf(kernelPath)),
    initramfs: initramfsPath === null ? null : initramfsSizesOf(partsOf(initramfsPath)),
  };
}

/** Returns the memory that the kernel's image takes while it runs; null for an unknown format. */
function kernelBytesOf({ head }: FileParts): number | null {
  if (head.length < HEAD_BYTES) return null;
  if (head.readUInt32LE(BZIMAGE_MAGIC_AT) === BZIMAGE_MAGIC) {
    return head.readUInt32LE(BZIMAGE_INIT_SIZE_AT) * BZIMAGE_KERNEL_PART;
  }
  if (head.readUInt32LE() !== ELF_MAGIC || head[4] !== ELF_CLASS_64) return null;
  const tableAt = Number(head.readBigUInt64LE(32));
  const count = head.readUInt16LE(56);
  if (tableAt + count * PROGRAM_HEADER_BYTES > head.length) return null;
  let bytes = 0;
  for (let index = 0; index < count; index += 1) {
    const at = tableAt + index * PROGRAM_HEADER_BYTES;
    if (head.readUInt32LE(at) === PT_LOAD) bytes += Number(head.readBigUInt64LE(at + 40));
  }
  return bytes;
}

/** gzip records the size of its content modulo 4 GiB. For other compression the file's size is a lower bound. */
function initramfsSizesOf({ size, head, tail }: FileParts): InitramfsSizes {
  const isGzip = head.length > 2 && head.readUInt16LE() === GZIP_MAGIC && tail.length === 4;
  const unpacked = isGzip ? tail.readUInt32LE() : size;
  return { packedBytes: size, unpackedBytes: Math.max(size, unpacked) };
}

function partsOf(path: string): FileParts {
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    return {
      size,
      head: read(fd, 0, HEAD_BYTES),
      tail: read(fd, Math.max(0, size - 4), Math.min(4, size)),
    };
  } finally {
    closeSync(fd);
  }
}

/** Reads up to `length` bytes; fewer at the end of the file. */
function read(fd: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(fd, bytes, 0, length, position));
}
