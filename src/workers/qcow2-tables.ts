// workers: whether what the tables of a qcow2 image lead to is in its file. Behind the end of a file there are zeros: a
// guest would read an image that was cut as one with holes. The header was checked before, see qcow2.ts.

const FEATURE_WIDE_ENTRIES = 1 << 4;
/** In the upper half of an entry (docs/interop/qcow2.rst of QEMU). */
const COMPRESSED = 1 << 30;
const ADDRESS_HIGH = 0x00ffffff;
const ADDRESS_LOW = 0xfffffe00;
/** So much of the tables is read, which is that of 128 GiB in usual clusters; what lies behind is believed. */
const TABLE_BYTES_MAX = 16 * 1024 * 1024;

/** Bytes of the file from an offset. */
export type ReadAt = (offset: number, lengthBytes: number) => Buffer;

/** Whether a table of the second level, or the beginning of a cluster, lies behind the end of the file. */
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
  // A compressed cluster has its length in the upper bits of its address, and begins at any byte.
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
