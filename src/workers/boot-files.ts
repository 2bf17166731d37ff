// workers: whether a file can be a kernel or an initramfs, by its first bytes. Pure.

import { gunzipSync, constants as zlib } from 'node:zlib';

/** So much of the beginning of a file is looked at. */
export const BOOT_HEAD_BYTES = 8192;

const ELF_MARK = '\x7fELF';
const ELF_EXECUTABLE = 2;
const ELF_X86 = 3;
const ELF_X86_64 = 62;
const MULTIBOOT_MARK = 0x1badb002;

/** What the kernel unpacks, and what is a file of a name to tell that it does not. */
const COMPRESSED = ['BZh', ']\0\0', '\xfd7zXZ\0', '\x89LZO\0', '\x02!L\x18', '(\xb5/\xfd'];
const GZIP_MARK = '\x1f\x8b';
const CPIO_MARKS = ['070701', '070702'];

/** Why it is no kernel that a hypervisor starts, to be said after its name; null when it may be one. */
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
  return `is no kernel: it is ${expected}`;
}

function elfProblem(head: Buffer): string | null {
  if (head.length < 20) return 'is no kernel: it is cut';
  const machine = head.readUInt16LE(18);
  if (machine !== ELF_X86 && machine !== ELF_X86_64) return 'is a program for another processor';
  if (head.readUInt16LE(16) === ELF_EXECUTABLE) return null;
  return 'is no kernel: it is a program, library or module';
}

/** Why the kernel could not unpack it, to be said after its name; null when it may be an initramfs. */
export function initramfsProblem(head: Buffer): string | null {
  if (isCpio(head)) return null;
  if (mark(head, 0, GZIP_MARK)) return packedProblem(head);
  if (COMPRESSED.some((bytes) => mark(head, 0, bytes))) return null;
  if (mark(head, 0, '\x04"M\x18'))
    return 'is compressed with lz4 in a way that no kernel unpacks: use lz4 -l';
  if (mark(head, 0, '070707')) return 'is a cpio archive of an old kind: make it with cpio -H newc';
  if (mark(head, 257, 'ustar'))
    return 'is a tar archive: make a cpio archive of it with cpio -H newc';
  return 'is no initramfs: it is neither a cpio archive nor a compressed one';
}

/** What is in it shows after a few bytes; that it is whole does not. */
function packedProblem(head: Buffer): string | null {
  try {
    const start = gunzipSync(head, { finishFlush: zlib.Z_SYNC_FLUSH });
    return start.length < 6 || isCpio(start)
      ? null
      : 'is no initramfs: what gzip has packed is no cpio archive';
  } catch {
    // zlib throws for bytes that gzip has not written, and for nothing else.
    return 'is no initramfs: it begins like a file of gzip and is none';
  }
}

/** Zeros may stand before an archive. */
function isCpio(head: Buffer): boolean {
  const at = head.findIndex((byte) => byte !== 0);
  return at >= 0 && at % 4 === 0 && CPIO_MARKS.some((bytes) => mark(head, at, bytes));
}

function mark(data: Buffer, at: number, bytes: string): boolean {
  return data.toString('latin1', at, at + bytes.length) === bytes;
}
