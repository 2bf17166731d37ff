// jobs, media: finds problems in the file systems and partition tables of raw images: another file system than the
// config says, or a file system that is larger than the file. Pure. Each format is read by the offsets of its
// superblock.

import type { FileSystem } from '../../../../lib/formats/image-formats.ts';

const SECTOR_BYTES = 512;
const LARGE_SECTOR_BYTES = 4096;
const GPT_MARK = 'EFI PART';
const EXT_AT = 1024;
const EXT_MARK = 0xef53;
const EXT_64BIT = 0x80;
const BTRFS_AT = 0x10000;
const EROFS_AT = 1024;
const EROFS_MARK = 0xe0f5e1e2;

interface Found {
  /** The name in messages. ext2 to ext4 are one family, which one driver mounts. */
  readonly family: string;
  /** The size in its superblock; null when unknown. */
  readonly sizeBytes: bigint | null;
}

/** Pads the head with zeros, as if the file continued. */
function padded(head: Buffer): Buffer {
  const bytes = Buffer.alloc(Math.max(head.length, BTRFS_AT + 0x100));
  head.copy(bytes);
  return bytes;
}

/**
 * Returns why a guest could not use a raw image, as the end of a sentence; null when no problem is known. `head` is
 * the start of the file, `sizeBytes` the size of the disk that a guest sees.
 */
export function rawProblem(
  head: Buffer,
  sizeBytes: number,
  wanted: FileSystem | null,
): string | null {
  const bytes = padded(head);
  const found = fileSystemIn(bytes);
  if (wanted !== null && found?.family !== familyOf(wanted)) {
    const what = found === null ? (partitionsIn(bytes) ?? 'no known file system') : found.family;
    return `should hold ${wanted}, but holds ${what}`;
  }
  if (hasPartitions(bytes)) return tableProblem(bytes, sizeBytes);
  if (found?.sizeBytes && found.sizeBytes > BigInt(sizeBytes)) {
    return `is truncated: its ${found.family} file system has ${found.sizeBytes} bytes, the file ${sizeBytes}`;
  }
  return null;
}

function familyOf(name: FileSystem): string {
  return name.startsWith('ext') ? 'ext4' : name;
}

function fileSystemIn(bytes: Buffer): Found | null {
  if (text(bytes, 0, 4) === 'XFSB') {
    const sizeBytes = bytes.readBigUInt64BE(8) * BigInt(bytes.readUInt32BE(4));
    return { family: 'xfs', sizeBytes };
  }
  if (text(bytes, 0, 4) === 'hsqs') {
    return { family: 'squashfs', sizeBytes: bytes.readBigUInt64LE(40) };
  }
  if (bytes.readUInt16LE(EXT_AT + 0x38) === EXT_MARK) return extIn(bytes);
  if (bytes.readUInt32LE(EROFS_AT) === EROFS_MARK) {
    const blocks = BigInt(bytes.readUInt32LE(EROFS_AT + 36));
    return { family: 'erofs', sizeBytes: blocks << BigInt(bytes.readUInt8(EROFS_AT + 12) & 31) };
  }
  if (text(bytes, BTRFS_AT + 0x40, 8) === '_BHRfS_M') {
    const isAlone = bytes.readBigUInt64LE(BTRFS_AT + 0x88) === 1n;
    return { family: 'btrfs', sizeBytes: isAlone ? bytes.readBigUInt64LE(BTRFS_AT + 0x70) : null };
  }
  return null;
}

function extIn(bytes: Buffer): Found {
  const isWide = (bytes.readUInt32LE(EXT_AT + 0x60) & EXT_64BIT) !== 0;
  const high = isWide ? BigInt(bytes.readUInt32LE(EXT_AT + 0x150)) : 0n;
  const blocks = (high << 32n) | BigInt(bytes.readUInt32LE(EXT_AT + 4));
  return {
    family: 'ext4',
    sizeBytes: blocks << BigInt(10 + (bytes.readUInt32LE(EXT_AT + 0x18) & 7)),
  };
}

function hasPartitions(bytes: Buffer): boolean {
  return partitionsIn(bytes) !== null;
}

/**
 * Returns a name for the partition table; null when there is none. Boot code may end with the same mark, so an entry
 * is required, too.
 */
function partitionsIn(bytes: Buffer): string | null {
  const isMarked = bytes.readUInt16LE(510) === 0xaa55;
  const entries = [446, 462, 478, 494];
  const hasEntry = entries.some((at) => {
    const isFlag = (bytes.readUInt8(at) & 0x7f) === 0;
    return isFlag && bytes.readUInt8(at + 4) !== 0 && bytes.readUInt32LE(at + 12) !== 0;
  });
  const isGpt = [SECTOR_BYTES, LARGE_SECTOR_BYTES].some((at) => text(bytes, at, 8) === GPT_MARK);
  return isGpt || (isMarked && hasEntry) ? 'a partition table' : null;
}

function tableProblem(bytes: Buffer, sizeBytes: number): string | null {
  if (text(bytes, SECTOR_BYTES, 8) === GPT_MARK) {
    const lastSector = bytes.readBigUInt64LE(SECTOR_BYTES + 48);
    const isCut = lastSector * BigInt(SECTOR_BYTES) >= BigInt(sizeBytes);
    return isCut ? 'is truncated: its partition table is that of a larger disk' : null;
  }
  if (text(bytes, LARGE_SECTOR_BYTES, 8) !== GPT_MARK) return null;
  const remedy = 'partition it again with sectors of 512 bytes';
  return `has a partition table for sectors of 4096 bytes, which a guest would not find: ${remedy}`;
}

function text(bytes: Buffer, at: number, length: number): string {
  return bytes.toString('latin1', at, at + length);
}
