// lib: the formats that an image can be said to have. Pure; how they are recognised is known by the workers.

/** An image that is one file system, without partitions. */
export const FILE_SYSTEMS = ['ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'squashfs', 'erofs'] as const;
export type FileSystem = (typeof FILE_SYSTEMS)[number];

/** How the bytes of a disk lie in a file. */
export type DiskFormat = 'raw' | 'qcow2';

/** As it stands in a manifest. */
export type ImageFormat = DiskFormat | FileSystem;

export interface ImageContent {
  readonly format: DiskFormat;
  /** What a raw image holds as a whole; null where nothing was said of that. */
  readonly fileSystem: FileSystem | null;
}

/** A format in its normal form: raw where none is given; null for what is none. */
export function imageFormat(given: string | undefined): ImageFormat | null {
  const format = given?.trim().toLowerCase() || 'raw';
  if (format === 'raw' || format === 'qcow2') return format;
  return FILE_SYSTEMS.find((name) => name === format) ?? null;
}

/** The name of a file system stands for a raw image that holds it. */
export function imageContent(format: ImageFormat): ImageContent {
  return format === 'raw' || format === 'qcow2'
    ? { format, fileSystem: null }
    : { format: 'raw', fileSystem: format };
}
