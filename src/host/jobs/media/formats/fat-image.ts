// jobs, media: builds a FAT file system with some small files in its root directory, in memory. Pure: the same files
// give the same bytes. The layout follows "Microsoft Extensible Firmware Initiative FAT32 File System Specification,
// FAT: General Overview of On-Disk Format", version 1.03.

import { createHash } from 'node:crypto';
import { assert } from '../../../../lib/assert.ts';

const SECTOR_BYTES = 512;
const SECTORS_PER_CLUSTER = 4;
const CLUSTER_BYTES = SECTOR_BYTES * SECTORS_PER_CLUSTER;
/** Only the boot sector. */
const RESERVED_SECTORS = 1;
const FAT_COPIES = 2;
/** A hard disk, not a floppy; the first byte of the FAT repeats it. */
const MEDIA = 0xf8;
/** mtools requires whole tracks. An image grows by cylinders of 1 MiB. */
const SECTORS_PER_TRACK = 32;
const HEADS = 64;
const CYLINDER_SECTORS = SECTORS_PER_TRACK * HEADS;

/** A file system with at least this many clusters is FAT16, whatever its header says. */
const FAT16_CLUSTERS_MIN = 4085;
/** Some readers are wrong close to that border, so images keep this distance from it. */
const BORDER_CLUSTERS = 32;
/** Below the FAT32 border at 65525, with the same distance. */
const CLUSTERS_MAX = 65_525 - BORDER_CLUSTERS;

const ENTRY_BYTES = 32;
const ENTRIES_PER_SECTOR = SECTOR_BYTES / ENTRY_BYTES;
/** The number of root entries that the specification recommends. */
const ROOT_ENTRIES_MIN = 512;
/** 1980-01-01, the first day that FAT knows. */
const DATE = 0x0021;

const ATTRIBUTE = { volumeLabel: 0x08, archive: 0x20, longName: 0x0f } as const;
/** Where the 13 characters of a long name entry lie in it. */
const LONG_NAME_OFFSETS = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30] as const;
const LONG_NAME_LAST = 0x40;

interface Geometry {
  readonly bits: 12 | 16;
  readonly sectors: number;
  readonly fatSectors: number;
  readonly rootEntries: number;
  /** Byte offsets of the root directory and of cluster 2, the first of the data. */
  readonly rootOffset: number;
  readonly dataOffset: number;
}

interface PlacedFile {
  readonly name: string;
  readonly content: Uint8Array;
  /** 0 for an empty file, which has no cluster. */
  readonly firstCluster: number;
  readonly clusters: number;
}

/**
 * A FAT12 or FAT16 image, at least 1 MiB and as large as the files need (about 127 MiB hold). Names
 * keep their case by long name entries; they may have letters, digits, `.`, `_` and `-`. The label is
 * written both into the boot sector and into the root directory, for tools read one or the other.
 */
export function fatImage(
  files: ReadonlyMap<string, Uint8Array>,
  options: { readonly label: string },
): Uint8Array {
  checkNames([...files.keys()], options.label);
  const placed = placeFiles(files);
  const geometry = geometryFor(placed);
  const image = Buffer.alloc(geometry.sectors * SECTOR_BYTES);
  writeBootSector(image, geometry, options.label, volumeId(files));
  writeFats(image, geometry, placed);
  writeRootDirectory(image, geometry, placed, options.label);
  for (const file of placed) {
    if (file.clusters === 0) continue;
    image.set(file.content, geometry.dataOffset + (file.firstCluster - 2) * CLUSTER_BYTES);
  }
  return image;
}

/** Without `~` no long name can equal the short name of another file. */
function checkNames(names: readonly string[], label: string): void {
  assert(/^[A-Z0-9_-]{1,11}$/.test(label), `"${label}" is a volume label`);
  for (const name of names) {
    assert(/^[\w.-]{0,254}[\w-]$/.test(name), `"${name}" is a file name of a FAT image`);
  }
  const distinct = new Set(names.map((name) => name.toLowerCase()));
  assert(distinct.size === names.length, 'file names of a FAT image differ by more than case');
}

/** One file after the other, without gaps. */
function placeFiles(files: ReadonlyMap<string, Uint8Array>): readonly PlacedFile[] {
  let next = 2;
  return [...files].map(([name, content]) => {
    const clusters = Math.ceil(content.length / CLUSTER_BYTES);
    const firstCluster = clusters === 0 ? 0 : next;
    next += clusters;
    return { name, content, firstCluster, clusters };
  });
}

const longNameEntries = (name: string): number => Math.ceil(name.length / LONG_NAME_OFFSETS.length);

/** The smallest number of whole cylinders that holds the files. */
function geometryFor(files: readonly PlacedFile[]): Geometry {
  const needed = files.reduce((sum, file) => sum + file.clusters, 0);
  const used = files.reduce((sum, file) => sum + longNameEntries(file.name) + 1, 1);
  const rootSectors = Math.ceil(Math.max(used, ROOT_ENTRIES_MIN) / ENTRIES_PER_SECTOR);
  for (let sectors = CYLINDER_SECTORS; ; sectors += CYLINDER_SECTORS) {
    const rest = sectors - RESERVED_SECTORS - rootSectors;
    // An upper bound that ignores the space of the FATs, which are therefore slightly larger than necessary.
    const clustersAtMost = Math.floor(rest / SECTORS_PER_CLUSTER);
    assert(clustersAtMost <= CLUSTERS_MAX, 'the files fit into a FAT16 image');
    if (Math.abs(clustersAtMost - FAT16_CLUSTERS_MIN) <= BORDER_CLUSTERS) continue;
    const bits = clustersAtMost < FAT16_CLUSTERS_MIN ? 12 : 16;
    const fatSectors = Math.ceil(((clustersAtMost + 2) * bits) / 8 / SECTOR_BYTES);
    const clusters = Math.floor((rest - FAT_COPIES * fatSectors) / SECTORS_PER_CLUSTER);
    if (clusters < needed) continue;
    const rootOffset = (RESERVED_SECTORS + FAT_COPIES * fatSectors) * SECTOR_BYTES;
    const dataOffset = rootOffset + rootSectors * SECTOR_BYTES;
    const rootEntries = rootSectors * ENTRIES_PER_SECTOR;
    return { bits, sectors, fatSectors, rootEntries, rootOffset, dataOffset };
  }
}

/** A serial number derived from the content. Formatting tools use the time of day. */
function volumeId(files: ReadonlyMap<string, Uint8Array>): number {
  const hash = createHash('sha256');
  for (const [name, content] of files) {
    hash.update(`${name}\0${content.length}\0`).update(content);
  }
  return hash.digest().readUInt32LE(0);
}

/** The BIOS parameter block: "Boot Sector and BPB", with the fields of FAT12 and FAT16 from offset 36. */
function writeBootSector(image: Buffer, geometry: Geometry, label: string, id: number): void {
  image.set([0xeb, 0x3c, 0x90], 0);
  image.write('VOLANT  ', 3, 'latin1');
  image.writeUInt16LE(SECTOR_BYTES, 11);
  image.writeUInt8(SECTORS_PER_CLUSTER, 13);
  image.writeUInt16LE(RESERVED_SECTORS, 14);
  image.writeUInt8(FAT_COPIES, 16);
  image.writeUInt16LE(geometry.rootEntries, 17);
  const isShort = geometry.sectors < 0x10000;
  image.writeUInt16LE(isShort ? geometry.sectors : 0, 19);
  image.writeUInt8(MEDIA, 21);
  image.writeUInt16LE(geometry.fatSectors, 22);
  image.writeUInt16LE(SECTORS_PER_TRACK, 24);
  image.writeUInt16LE(HEADS, 26);
  image.writeUInt32LE(isShort ? 0 : geometry.sectors, 32);
  // The BIOS number of a hard disk, and the mark that the three fields after it are there.
  image.writeUInt8(0x80, 36);
  image.writeUInt8(0x29, 38);
  image.writeUInt32LE(id, 39);
  image.write(label.padEnd(11), 43, 'latin1');
  image.write(`FAT${geometry.bits}`.padEnd(8), 54, 'latin1');
  image.writeUInt16LE(0xaa55, 510);
}

/** The chain of every file, in both copies; the two entries before the first cluster are reserved. */
function writeFats(image: Buffer, geometry: Geometry, files: readonly PlacedFile[]): void {
  const endOfChain = geometry.bits === 12 ? 0xfff : 0xffff;
  const fatBytes = geometry.fatSectors * SECTOR_BYTES;
  const fat = image.subarray(RESERVED_SECTORS * SECTOR_BYTES).subarray(0, fatBytes);
  const put = geometry.bits === 12 ? putEntry12 : putEntry16;
  put(fat, 0, (endOfChain & 0xf00) | (endOfChain & 0xf000) | MEDIA);
  put(fat, 1, endOfChain);
  for (const { firstCluster, clusters } of files) {
    const end = firstCluster + clusters;
    for (let cluster = firstCluster; cluster < end; cluster += 1) {
      put(fat, cluster, cluster + 1 === end ? endOfChain : cluster + 1);
    }
  }
  image.set(fat, RESERVED_SECTORS * SECTOR_BYTES + fatBytes);
}

/** Two entries share three bytes: the even one has the lower twelve bits. Entries start as 0. */
function putEntry12(fat: Buffer, cluster: number, value: number): void {
  const offset = cluster + (cluster >> 1);
  const shifted = cluster % 2 === 0 ? value : value << 4;
  fat.writeUInt16LE(fat.readUInt16LE(offset) | shifted, offset);
}

function putEntry16(fat: Buffer, cluster: number, value: number): void {
  fat.writeUInt16LE(value, cluster * 2);
}

function writeRootDirectory(
  image: Buffer,
  geometry: Geometry,
  files: readonly PlacedFile[],
  label: string,
): void {
  let offset = geometry.rootOffset;
  const next = (): Buffer => {
    offset += ENTRY_BYTES;
    return image.subarray(offset - ENTRY_BYTES, offset);
  };
  writeShortEntry(next(), label.padEnd(11), ATTRIBUTE.volumeLabel);
  files.forEach((file, index) => {
    const shortName = shortNameOf(file.name, index + 1);
    for (let part = longNameEntries(file.name); part > 0; part -= 1) {
      writeLongEntry(next(), file.name, part, checksumOf(shortName));
    }
    const entry = next();
    writeShortEntry(entry, shortName, ATTRIBUTE.archive);
    entry.writeUInt16LE(file.firstCluster, 26);
    entry.writeUInt32LE(file.content.length, 28);
  });
}

/** "FAT Directory Structure": the same date for creation, last access and last write, at midnight. */
function writeShortEntry(entry: Buffer, name: string, attribute: number): void {
  entry.write(name, 0, 'latin1');
  entry.writeUInt8(attribute, 11);
  for (const at of [16, 18, 24]) entry.writeUInt16LE(DATE, at);
}

/** The eight and three characters of systems without long names; the number makes them unique. */
function shortNameOf(name: string, number: number): string {
  const tail = `~${number}`;
  const stem = name
    .toUpperCase()
    .replaceAll('.', '')
    .slice(0, 8 - tail.length);
  return `${stem}${tail}`.padEnd(11);
}

/** "FAT Long Directory Entries": a rotated sum over the eleven bytes of the short name. */
function checksumOf(shortName: string): number {
  let sum = 0;
  for (const byte of Buffer.from(shortName, 'latin1')) {
    sum = (((sum & 1) << 7) + (sum >> 1) + byte) & 0xff;
  }
  return sum;
}

/** Parts count from 1 and lie in the directory last one first. After the name: a 0, then all ones. */
function writeLongEntry(entry: Buffer, name: string, part: number, checksum: number): void {
  const isLast = part === longNameEntries(name);
  entry.writeUInt8(isLast ? part | LONG_NAME_LAST : part, 0);
  entry.writeUInt8(ATTRIBUTE.longName, 11);
  entry.writeUInt8(checksum, 13);
  const start = (part - 1) * LONG_NAME_OFFSETS.length;
  LONG_NAME_OFFSETS.forEach((offset, index) => {
    const at = start + index;
    const filler = at === name.length ? 0 : 0xffff;
    entry.writeUInt16LE(at < name.length ? name.charCodeAt(at) : filler, offset);
  });
}
