// engine: what the engine needs of images and disks. Only types; the whole of what it needs of the host is in ports.ts.

import type { DiskFormat, FileSystem } from '../lib/image-formats.ts';

/** What a guest starts from; such a file must be one of its kind. */
export type BootFile = 'kernel' | 'initramfs';

export interface MediaFacts {
  /** The path with every symbolic link resolved. */
  readonly realPath: string;
  readonly sizeBytes: number;
}

export interface InitramfsSizes {
  readonly packedBytes: number;
  /** At least so many. */
  readonly unpackedBytes: number;
}

/** What a guest must hold in its memory when it boots; null for what is not known, or not there. */
export interface BootSizes {
  readonly kernelBytes: number | null;
  readonly initramfs: InitramfsSizes | null;
}

/** How far a download is. */
export interface MediaProgress {
  readonly receivedBytes: number;
  /** null when the server does not say. */
  readonly totalBytes: number | null;
}

/** An image of the network that is here. It stays in the cache at least until it is released. */
export interface HeldMedia extends MediaFacts {
  release(): void;
}

/** What the owner of an image asked for: another location or checksum is another image. */
export interface ImageReference {
  readonly location: string;
  readonly checksum: string | null;
}

/** An image that is here. */
export interface KnownImage {
  readonly reference: ImageReference;
  readonly path: string;
}

export interface RecalledImage extends KnownImage {
  readonly sizeBytes: number;
}

/** Those that a VM was made of, disks by their name. */
export interface KnownImages {
  readonly initramfs: RecalledImage | null;
  readonly disks: ReadonlyMap<string, RecalledImage>;
}

/** An overlay that was made for a disk of a VM. */
export interface MadeOverlay {
  /** Of the image that it lies on. */
  readonly reference: ImageReference;
  /** What the guest sees of it at least; 0 when that is not known. */
  readonly sizeBytes: number;
}

/** An image that a VM's disk is made from. */
export interface DiskImage extends KnownImage {
  /** Unique among the VM's disks, fit for a file name. */
  readonly name: string;
  /** The field that names it, for errors. */
  readonly field: string;
  readonly format: DiskFormat;
  /** What a raw image must hold as a whole; null where nothing was said of that. */
  readonly fileSystem: FileSystem | null;
  /** A system starts from it. */
  readonly isRoot: boolean;
  readonly readonly: boolean;
  /** The overlay that this disk got last: where it is not there, it is lost. null: none is known of. */
  readonly made: MadeOverlay | null;
}

/** A disk as a hypervisor is given it. */
export interface ProvidedDisk {
  readonly path: string;
  readonly format: DiskFormat;
  /** The image that an overlay lies on; null for a disk that is an image itself. */
  readonly basePath: string | null;
  /** What the guest sees. */
  readonly sizeBytes: number;
}

/** Contents by file name; a document that is no text is bytes. */
export type SeedFiles = ReadonlyMap<string, string | Uint8Array>;

/** A part of HostPort. */
export interface MediaHost {
  /**
   * MEDIA_NOT_ALLOWED, MEDIA_INVALID, also for a file that is not of its kind; MEDIA_CHECKSUM_MISMATCH where a SHA-256
   * is given. Links are followed before the directories are compared.
   */
  inspectMedia(path: string, checksum: string | null, kind?: BootFile): Promise<MediaFacts>;
  /**
   * A file of the network, from the cache where it is there already. Those who ask for one file at the same
   * time share a download; one that nobody waits for any more is cut, and what has arrived is kept. Rejects
   * with the reason of the signal. MEDIA_DOWNLOAD_FAILED, MEDIA_CHECKSUM_MISMATCH, MEDIA_NOT_ALLOWED,
   * DISK_SPACE_LOW.
   */
  fetchMedium(
    url: string,
    checksum: string | null,
    onProgress: (progress: MediaProgress) => void,
    signal?: AbortSignal,
  ): Promise<HeldMedia>;
  /** What a VM was made of when it was started last, as far as that is still there as it was. */
  recallImages(vmId: number): Promise<KnownImages>;
  /**
   * The disks of a VM, in the order of their images. What may be written to is an overlay that the VM
   * keeps until removeDisks or until its image has another reference; the image is never changed. The
   * initramfs is only noted, as one that the VM is made of. MEDIA_INVALID, DISK_SPACE_LOW.
   */
  provideDisks(
    vmId: number,
    images: readonly DiskImage[],
    initramfs: KnownImage | null,
  ): Promise<readonly ProvidedDisk[]>;
  /** The image that cloud-init reads, with these files; replaces one that is there. Goes with the disks. */
  writeSeed(vmId: number, files: SeedFiles): Promise<string>;
  /** Absent is fine. */
  removeDisks(vmId: number): Promise<void>;
  /** The guest kernel: the uncompressed one when it exists, else the bzImage. KERNEL_MISSING. */
  findKernel(): Promise<MediaFacts>;
  /** Of files that may be used: what they take of a guest's memory. */
  measureBoot(files: {
    readonly kernelPath: string;
    readonly initramfsPath: string | null;
  }): Promise<BootSizes>;
  /**
   * The bytes of a file that a manifest names, under the rules of inspectMedia. MEDIA_NOT_ALLOWED,
   * MEDIA_INVALID when it is too large, DOCUMENT_NOT_FOUND.
   */
  readDocument(path: string): Promise<Uint8Array>;
  /** Of a text in YAML. DOCUMENT_UNREACHABLE where it cannot be made JSON. */
  documentToJson(text: string): Promise<string>;
}
