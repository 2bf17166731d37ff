// jobs, media: detects truncated qcow2 images: whether all clusters that the tables refer to are in the file. A guest
// would read the missing ones as zeros. The header is checked in qcow2.ts before.

const FEATURE_WIDE_ENTRIES = 1 << 4;
/** In the upper 32 bits of an entry (docs/interop/qcow2.rst of QEMU). */
const COMPRESSED = 1 << 30;
const ADDRESS_HIGH = 0x00ffffff;
const ADDRESS_LOW = 0xfffffe00;
/** At most this much of the tables is read, enough for 128 GiB with usual clusters. The rest is not checked. */
const TABLE_BYTES_MAX = 16 * 1024 * 1024;

/** Reads bytes of the file at an offset. */
export type ReadAt = (offset: number, lengthBytes: number) => Buffer;

/** Whether a second-level table or the start of a cluster lies beyond the end of the file. */
export function isQcow2Cut(head: Buffer, fileBytes: number, read: ReadAt): boolean {
  const clusterBits = head.readUInt32BE(20);
  const clusterBytes = 2 ** clusterBits;
  const isWide = head.readUInt32BE(4) === 3 && (head.readUInt32BE(76) & FEATURE_WIDE_ENTRIES) !== 0;
  const firstLevel = read(Number(head.readBigUInt64BE(40)), head.readUInt32BE(36) * 8);
  let readBytes = 0;
  for (let at = 0; at + 8 <= firstLevel.length; at += 8) {
    const table = addressAt(firstLevel, at);
    if (table === 0) continue;
    if (table + clusterBytes > fileBytes) return true;
    readBytes += clusterBytes;
    if (readBytes > TABLE_BYTES_MAX) continue;
    const secondLevel = read(table, clusterBytes);
    if (leadsBeyond(secondLevel, isWide ? 16 : 8, clusterBits, fileBytes)) return true;
  }
  return false;
}

function leadsBeyond(
  table: Buffer,
  stepBytes: number,
  clusterBits: number,
  fileBytes: number,
): boolean {
  // A compressed cluster has its length in the upper bits of its entry, and may start at any byte.
  const compressedHigh = 2 ** (62 - (clusterBits - 8) - 32) - 1;
  for (let at = 0; at + 8 <= table.length; at += stepBytes) {
    const high = table.readUInt32BE(at);
    const address =
      (high & COMPRESSED) === 0
        ? addressAt(table, at)
        : (high & compressedHigh) * 2 ** 32 + table.readUInt32BE(at + 4);
    if (address >= fileBytes && address > 0) return true;
  }
  return false;
}

function addressAt(table: Buffer, at: number): number {
  const low = (table.readUInt32BE(at + 4) & ADDRESS_LOW) >>> 0;
  return (table.readUInt32BE(at) & ADDRESS_HIGH) * 2 ** 32 + low;
}
