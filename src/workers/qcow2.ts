// workers: the little of the qcow2 format that is needed here (docs/interop/qcow2.rst of QEMU): the size
// of an image, and an empty image on top of another one. Pure.

const MAGIC = 0x514649fb;
const HEADER_BYTES = 104;
const CLUSTER_BITS = 16;
const CLUSTER_BYTES = 1 << CLUSTER_BITS;
/** A table of the second level is a cluster of 8-byte entries, each for one cluster. */
const BYTES_PER_TABLE = (CLUSTER_BYTES / 8) * CLUSTER_BYTES;
/** An extension of the header that names the format of the backing file. */
const BACKING_FORMAT_EXTENSION = 0xe2792aca;
/** Incompatible features (bits of byte 79): what QEMU reads, and what must not or cannot be read. */
const FEATURES_FINE = 0b11001;
const FEATURE_CORRUPT = 1 << 1;
const FEATURE_EXTERNAL_DATA = 1 << 2;
const BACKING_NAME_BYTES_MAX = 1023;

export type DiskFormat = 'raw' | 'qcow2';

/** The largest disk: its table of the first level fits into one cluster. */
export const IMAGE_BYTES_MAX = (CLUSTER_BYTES / 8) * BYTES_PER_TABLE;

/** What a first block of an image says about itself. */
export interface Qcow2Facts {
  readonly virtualSizeBytes: number;
  /** Why it cannot be a disk, to be said after its name; null when it can. */
  readonly problem: string | null;
}

/** null when it is not a qcow2 image. `head` is its first 512 bytes at least. */
export function readQcow2(head: Buffer): Qcow2Facts | null {
  if (head.length < HEADER_BYTES || head.readUInt32BE(0) !== MAGIC) return null;
  return { virtualSizeBytes: Number(head.readBigUInt64BE(24)), problem: problemOf(head) };
}

function problemOf(head: Buffer): string | null {
  const version = head.readUInt32BE(4);
  const sizeBytes = head.readBigUInt64BE(24);
  // Version 2 has a shorter header: what follows it is something else.
  const [unknown, known] = version === 3 ? [head.readUInt32BE(72), head.readUInt32BE(76)] : [0, 0];
  if (version !== 2 && version !== 3) return `is qcow2 of version ${version}; 2 and 3 can be used`;
  // A file that its maker could name freely.
  if (head.readBigUInt64BE(8) !== 0n || (known & FEATURE_EXTERNAL_DATA) !== 0) {
    return 'needs other files; flatten it';
  }
  if (head.readUInt32BE(32) !== 0) return 'is encrypted';
  if ((known & FEATURE_CORRUPT) !== 0) return 'is marked as corrupt; repair it with qemu-img check';
  if (unknown !== 0 || (known & ~FEATURES_FINE) !== 0)
    return 'has features that are not known here';
  if (sizeBytes < 1n || sizeBytes > BigInt(IMAGE_BYTES_MAX)) {
    return `has a size of ${sizeBytes} bytes; 1 byte to 4 TiB can be used`;
  }
  return null;
}

/**
 * An image of version 3 that holds nothing: reads go to the backing file, writes stay in it. Four
 * clusters: header, table of reference counts, reference counts, table of the first level. RangeError for
 * a name or a size that does not fit into them.
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
