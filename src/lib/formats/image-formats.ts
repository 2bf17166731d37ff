// lib, formats: the image formats that a config may name. Pure. They are recognised in host/jobs/media/formats.

/** An image that is one file system, without partitions. */
export const FILE_SYSTEMS = ['ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'squashfs', 'erofs'] as const;
export type FileSystem = (typeof FILE_SYSTEMS)[number];

/** The container format of a disk in a file. */
export type DiskFormat = 'raw' | 'qcow2';

/** The value in a manifest. */
export type ImageFormat = DiskFormat | FileSystem;

export interface ImageContent {
  readonly format: DiskFormat;
  /** The file system of a raw image without partitions; null: not specified. */
  readonly fileSystem: FileSystem | null;
}

/** Normalises a format: raw when none is given, null when it is unknown. */
export function imageFormat(given: string | undefined): ImageFormat | null {
  const format = given?.trim().toLowerCase() || 'raw';
  if (format === 'raw' || format === 'qcow2') return format;
  return FILE_SYSTEMS.find((name) => name === format) ?? null;
}

/** The name of a file system means a raw image that contains it. */
export function imageContent(format: ImageFormat): ImageContent {
  return format === 'raw' || format === 'qcow2'
    ? { format, fileSystem: null }
    : { format: 'raw', fileSystem: format };
}

const converted = (from: string) => `convert it with qemu-img convert -f ${from} -O qcow2`;
const unpacked = (command: string) => `unpack it with ${command}`;

/** By the ends of names and as formats: what is no disk as it is, with what to do. */
const FOREIGN_FORMATS: ReadonlyMap<string, string> = new Map([
  ['vmdk', converted('vmdk')],
  ['vdi', converted('vdi')],
  ['vhdx', converted('vhdx')],
  ['vhd', converted('vpc')],
  ['vpc', converted('vpc')],
  ['qcow', converted('qcow')],
  ['qed', converted('qed')],
  ['parallels', converted('parallels')],
  ['dmg', converted('dmg')],
  ['ova', 'take the image out of it with tar -x'],
  ['tar', 'take the image out of it with tar -x'],
  ['tgz', 'take the image out of it with tar -xz'],
  ['zip', 'take the image out of it with unzip'],
  ['gz', unpacked('gunzip')],
  ['xz', unpacked('xz -d')],
  ['zst', unpacked('zstd -d')],
  ['bz2', unpacked('bunzip2')],
  ['lz4', unpacked('lz4 -d')],
]);

/** What to do with an image of such a format before it can be a disk; null for a format that is not known. */
export function foreignRemedy(format: string): string | null {
  return FOREIGN_FORMATS.get(format.trim().toLowerCase()) ?? null;
}
