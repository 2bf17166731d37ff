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
/** Incompatible feature bit 2: the data is in another file. */
const EXTERNAL_DATA_FILE = 1 << 2;
const BACKING_NAME_BYTES_MAX = 1023;

export type DiskFormat = 'raw' | 'qcow2';

/** What a first block of an image says about itself. */
export interface Qcow2Facts {
  readonly virtualSizeBytes: number;
  /** It needs another file: one that its maker could name freely. */
  readonly needsOtherFile: boolean;
}

/** null when it is not a qcow2 image. `head` is its first 512 bytes at least. */
export function readQcow2(head: Buffer): Qcow2Facts | null {
  if (head.length < HEADER_BYTES || head.readUInt32BE(0) !== MAGIC) return null;
  const version = head.readUInt32BE(4);
  const backingOffset = head.readBigUInt64BE(8);
  const incompatible = version >= 3 ? head.readUInt32BE(76) : 0;
  return {
    virtualSizeBytes: Number(head.readBigUInt64BE(24)),
    needsOtherFile: backingOffset !== 0n || (incompatible & EXTERNAL_DATA_FILE) !== 0,
  };
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
  if (tables > CLUSTER_BYTES / 8) throw new RangeError('the base is larger than 4 TiB');
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
