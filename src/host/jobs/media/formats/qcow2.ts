// jobs, media: the part of the qcow2 format that is needed here (docs/interop/qcow2.rst of QEMU): reading the header
// of an image, and creating an empty overlay. Pure. The tables of an image are checked in qcow2-tables.ts.

import type { DiskFormat } from '../../../../lib/formats/image-formats.ts';

const MAGIC = 0x514649fb;
const HEADER_BYTES = 104;
const CLUSTER_BITS = 16;
const CLUSTER_BYTES = 1 << CLUSTER_BITS;
/** A second-level table is one cluster of 8-byte entries, each for one cluster. */
const BYTES_PER_TABLE = (CLUSTER_BYTES / 8) * CLUSTER_BYTES;
/** The header extension with the format of the backing file. */
const BACKING_FORMAT_EXTENSION = 0xe2792aca;
/**
 * Incompatible features (bits of byte 79): those that are supported, and those that are refused with a reason of
 * their own.
 */
const FEATURES_FINE = 0b11001;
const FEATURE_CORRUPT = 1 << 1;
const FEATURE_EXTERNAL_DATA = 1 << 2;
const BACKING_NAME_BYTES_MAX = 1023;
/** Limits of QEMU (block/qcow2.h), as powers of two for the sizes of clusters and of reference counts. */
const CLUSTER_BITS_MIN = 9;
const CLUSTER_BITS_MAX = 21;
const COUNT_BITS_MAX = 6;
const FIRST_LEVEL_BYTES_MAX = 32 * 1024 ** 2;

/** The largest disk: its first-level table fits into one cluster. */
export const IMAGE_BYTES_MAX = (CLUSTER_BYTES / 8) * BYTES_PER_TABLE;

/** The facts in the header of an image. */
export interface Qcow2Facts {
  readonly virtualSizeBytes: number;
  /** Why it is damaged, as the end of a sentence; null when no damage is seen. */
  readonly damage: string | null;
  /** Why disks cannot be based on it, damage included, as the end of a sentence; null when they can. */
  readonly problem: string | null;
}

/**
 * Reads a header. null: it is not a qcow2 image. `head` has at least the first 512 bytes, `fileBytes` is the size of
 * the file.
 */
export function readQcow2(head: Buffer, fileBytes: number): Qcow2Facts | null {
  if (head.length < HEADER_BYTES || head.readUInt32BE(0) !== MAGIC) return null;
  const damage = damageOf(head, fileBytes);
  const problem = problemOf(head) ?? damage;
  return { virtualSizeBytes: Number(head.readBigUInt64BE(24)), damage, problem };
}

/** Finds damage that QEMU would report only at the VM's start, or would read as an empty disk. */
function damageOf(head: Buffer, fileBytes: number): string | null {
  const clusterBits = head.readUInt32BE(20);
  if (clusterBits < CLUSTER_BITS_MIN || clusterBits > CLUSTER_BITS_MAX) {
    return 'has clusters of a size that QEMU does not support';
  }
  const clusterBytes = 2 ** clusterBits;
  const [countBits, headerBytes] =
    head.readUInt32BE(4) === 3
      ? [head.readUInt32BE(96), head.readUInt32BE(100)]
      : [4, HEADER_BYTES];
  if (countBits > COUNT_BITS_MAX || headerBytes < HEADER_BYTES || headerBytes > clusterBytes) {
    return 'has a damaged header';
  }
  const tablesNeeded = Math.ceil(
    Number(head.readBigUInt64BE(24)) / ((clusterBytes / 8) * clusterBytes),
  );
  const firstLevel = { offset: head.readBigUInt64BE(40), bytes: head.readUInt32BE(36) * 8 };
  // Only the start of the refcount table is required: writers may omit zeros at its end.
  const counts = { offset: head.readBigUInt64BE(48), bytes: 8 };
  if (firstLevel.bytes < tablesNeeded * 8 || firstLevel.bytes > FIRST_LEVEL_BYTES_MAX) {
    return 'has a table whose size does not fit the disk';
  }
  for (const { offset, bytes } of [firstLevel, counts]) {
    if (offset % BigInt(clusterBytes) !== 0n) return 'has a table at an unaligned offset';
    // Bytes beyond the end of the file read as zeros, which mean an empty disk.
    if (offset + BigInt(bytes) > fileBytes) return 'is truncated: its tables are missing';
  }
  return null;
}

function problemOf(head: Buffer): string | null {
  const version = head.readUInt32BE(4);
  const sizeBytes = head.readBigUInt64BE(24);
  // Version 2 has a shorter header, without these fields.
  const [unknown, known] = version === 3 ? [head.readUInt32BE(72), head.readUInt32BE(76)] : [0, 0];
  if (version !== 2 && version !== 3) return `is qcow2 of version ${version}; 2 and 3 can be used`;
  // The author of the image could name any file here.
  if (head.readBigUInt64BE(8) !== 0n || (known & FEATURE_EXTERNAL_DATA) !== 0) {
    return 'needs other files; flatten it';
  }
  if (head.readUInt32BE(32) !== 0) return 'is encrypted';
  if ((known & FEATURE_CORRUPT) !== 0) return 'is marked as corrupt; repair it with qemu-img check';
  if (unknown !== 0 || (known & ~FEATURES_FINE) !== 0) return 'has unsupported features';
  if (sizeBytes < 1n || sizeBytes > BigInt(IMAGE_BYTES_MAX)) {
    return `has a size of ${sizeBytes} bytes; 1 byte to 4 TiB can be used`;
  }
  return null;
}

/**
 * Creates an empty image of version 3: reads go to the backing file, writes stay in the image. It has four clusters:
 * header, refcount table, refcount block, first-level table. Throws RangeError for a name or a size that does not
 * fit.
 */
export function emptyOverlay(
  backingPath: string,
  backingFormat: DiskFormat,
  virtualSizeBytes: number,
): Buffer {
  const name = Buffer.from(backingPath);
  const tables = Math.ceil(virtualSizeBytes / BYTES_PER_TABLE);
  if (name.length > BACKING_NAME_BYTES_MAX)
    throw new RangeError('the name of the base is too long');
  if (virtualSizeBytes > IMAGE_BYTES_MAX) throw new RangeError('the base is larger than 4 TiB');
  const image = Buffer.alloc(4 * CLUSTER_BYTES);
  const format = Buffer.from(backingFormat);
  const extension = HEADER_BYTES;
  const nameOffset = extension + 8 + paddedLength(format.length) + 8;
  image.writeUInt32BE(MAGIC, 0);
  image.writeUInt32BE(3, 4);
  image.writeBigUInt64BE(BigInt(nameOffset), 8);
  image.writeUInt32BE(name.length, 16);
  image.writeUInt32BE(CLUSTER_BITS, 20);
  image.writeBigUInt64BE(BigInt(virtualSizeBytes), 24);
  image.writeUInt32BE(tables, 36);
  image.writeBigUInt64BE(BigInt(3 * CLUSTER_BYTES), 40);
  image.writeBigUInt64BE(BigInt(CLUSTER_BYTES), 48);
  image.writeUInt32BE(1, 56);
  // Reference counts have 2 ** 4 bits.
  image.writeUInt32BE(4, 96);
  image.writeUInt32BE(HEADER_BYTES, 100);
  image.writeUInt32BE(BACKING_FORMAT_EXTENSION, extension);
  image.writeUInt32BE(format.length, extension + 4);
  format.copy(image, extension + 8);
  name.copy(image, nameOffset);
  image.writeBigUInt64BE(BigInt(2 * CLUSTER_BYTES), CLUSTER_BYTES);
  for (let cluster = 0; cluster < 4; cluster += 1) {
    image.writeUInt16BE(1, 2 * CLUSTER_BYTES + 2 * cluster);
  }
  return image;
}

/** Extensions are padded to a multiple of 8. */
function paddedLength(length: number): number {
  return Math.ceil(length / 8) * 8;
}
