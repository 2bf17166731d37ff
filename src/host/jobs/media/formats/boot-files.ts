// jobs, media: recognises kernels and initramfs archives by their first bytes. Pure.

import { gunzipSync, constants as zlib } from 'node:zlib';

/** Number of bytes at the start of a file that are examined. */
export const BOOT_HEAD_BYTES = 8192;

const ELF_MARK = '\x7fELF';
const ELF_EXECUTABLE = 2;
const ELF_X86 = 3;
const ELF_X86_64 = 62;
const MULTIBOOT_MARK = 0x1badb002;

/** Compressions that the kernel can unpack: bzip2, lzma, xz, lzo, lz4 legacy, zstd. */
const COMPRESSED = ['BZh', ']\0\0', '\xfd7zXZ\0', '\x89LZO\0', '\x02!L\x18', '(\xb5/\xfd'];
const GZIP_MARK = '\x1f\x8b';
const CPIO_MARKS = ['070701', '070702'];

/** Returns why a hypervisor cannot start this as a kernel, as the end of a sentence; null when it may. */
export function kernelProblem(head: Buffer): string | null {
  if (mark(head, 0x202, 'HdrS')) return null;
  if (mark(head, 0, ELF_MARK)) return elfProblem(head);
  for (let at = 0; at + 4 <= head.length; at += 4) {
    if (head.readUInt32LE(at) === MULTIBOOT_MARK) return null;
  }
  const expected = 'neither a bzImage nor a vmlinux of x86';
  if (mark(head, 0x38, 'ARM\x64')) return `is a kernel for another processor, ${expected}`;
  if (mark(head, 0, GZIP_MARK))
    return `is compressed with gzip, ${expected}: unpack it with gunzip`;
  return `is not a kernel: it is ${expected}`;
}

function elfProblem(head: Buffer): string | null {
  if (head.length < 20) return 'is not a kernel: it is truncated';
  const machine = head.readUInt16LE(18);
  if (machine !== ELF_X86 && machine !== ELF_X86_64) return 'is a program for another processor';
  if (head.readUInt16LE(16) === ELF_EXECUTABLE) return null;
  return 'is not a kernel: it is a program, library or module';
}

/** Returns why the kernel could not unpack this as an initramfs, as the end of a sentence; null when it may. */
export function initramfsProblem(head: Buffer): string | null {
  if (isCpio(head)) return null;
  if (mark(head, 0, GZIP_MARK)) return packedProblem(head);
  if (COMPRESSED.some((bytes) => mark(head, 0, bytes))) return null;
  if (mark(head, 0, '\x04"M\x18'))
    return 'is compressed with an lz4 format that the kernel does not support: use lz4 -l';
  if (mark(head, 0, '070707'))
    return 'is a cpio archive of an old format: make it with cpio -H newc';
  if (mark(head, 257, 'ustar'))
    return 'is a tar archive: make a cpio archive of it with cpio -H newc';
  return 'is not an initramfs: it is neither a cpio archive nor a compressed one';
}

/** The first bytes show the content, but not whether it is complete. */
function packedProblem(head: Buffer): string | null {
  try {
    const start = gunzipSync(head, { finishFlush: zlib.Z_SYNC_FLUSH });
    return start.length < 6 || isCpio(start)
      ? null
      : 'is not an initramfs: the compressed file is not a cpio archive';
  } catch {
    // zlib throws only for bytes that are not gzip.
    return 'is not an initramfs: it begins like a gzip file but is not one';
  }
}

/** An archive may be preceded by zero bytes. */
function isCpio(head: Buffer): boolean {
  const at = head.findIndex((byte) => byte !== 0);
  return at >= 0 && at % 4 === 0 && CPIO_MARKS.some((bytes) => mark(head, at, bytes));
}

function mark(data: Buffer, at: number, bytes: string): boolean {
  return data.toString('latin1', at, at + bytes.length) === bytes;
}
