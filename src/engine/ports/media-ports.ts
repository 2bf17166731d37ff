// engine, ports: what the engine needs of images and disks. Only types. host-ports.ts joins all subjects.

import type { DiskFormat, FileSystem } from '../../lib/formats/image-formats.ts';

/** The files that a guest boots from; the kind is checked. */
export type BootFile = 'kernel' | 'initramfs';

/** The declared content of a file that a guest gets as a disk. */
export interface DiskContent {
  readonly format: DiskFormat;
  /** The file system that a raw image must be; null if that was not specified. */
  readonly fileSystem: FileSystem | null;
  /** A system boots from it. */
  readonly isRoot: boolean;
}

/** What a file is used for; null if it is only looked up. */
export type MediaKind = BootFile | DiskContent | null;

export interface MediaFacts {
  /** The path with every symbolic link resolved. */
  readonly realPath: string;
  readonly sizeBytes: number;
}

export interface InitramfsSizes {
  readonly packedBytes: number;
  /** A lower bound. */
  readonly unpackedBytes: number;
}

/** The sizes of what a guest has in memory when it boots; null if unknown or absent. */
export interface BootSizes {
  readonly kernelBytes: number | null;
  readonly initramfs: InitramfsSizes | null;
}

/** The progress of a download. */
export interface MediaProgress {
  readonly receivedBytes: number;
  /** null if the server does not send it. */
  readonly totalBytes: number | null;
}

/** A downloaded image. It stays in the cache at least until it is released. */
export interface HeldMedia extends MediaFacts {
  release(): void;
}

/** What an image says of its program, in the words of a manifest where it has them. */
export interface ImageSettings {
  readonly entrypoint: readonly string[];
  /** Arguments that a manifest may replace. */
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** A name or number, with a group after a colon; '' is root. */
  readonly user: string;
  readonly workdir: string;
  /** In the order of their numbers. */
  readonly exposed_ports: readonly { readonly port: number; readonly protocol: string }[];
  readonly volumes: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly stop_signal: string;
}

/** The root disk that was made of a container image. */
export interface ImageFacts extends MediaFacts {
  /** Of the manifest for this platform: sha256: and 64 hexadecimal digits. */
  readonly digest: string;
  readonly settings: ImageSettings;
}

/** An image that stays in the cache at least until it is released. */
export interface HeldImage extends ImageFacts {
  release(): void;
}

/** A container image in the cache. */
export interface StoredImage {
  readonly digest: string;
  /** The names that meant it last. */
  readonly names: readonly string[];
  readonly settings: ImageSettings;
  /** Its blobs as they were transferred, and its files. */
  readonly pulledBytes: number;
  readonly unpackedBytes: number;
  /** What its root disk takes of the disk of the host. */
  readonly diskBytes: number;
  readonly layers: number;
  readonly builtAtMs: number;
  /** Disks of VMs are based on it. */
  readonly isInUse: boolean;
}

/** A pull under way. */
export interface PullProgress extends MediaProgress {
  readonly image: string;
}

/** Which container image, and how. */
export interface ImageRequest {
  /** A name as in a manifest. */
  readonly image: string;
  /** Of its manifest or its index; null: any. */
  readonly digest: string | null;
  /** Asks the registry what the name means now. Otherwise an image that is here is not asked for. */
  readonly refresh: boolean;
}

/** The identity of an image: another location or checksum is another image. */
export interface ImageReference {
  readonly location: string;
  readonly checksum: string | null;
}

/** An image on this host. */
export interface KnownImage {
  readonly reference: ImageReference;
  readonly path: string;
}

export interface RecalledImage extends KnownImage {
  readonly sizeBytes: number;
}

/** The images that a VM was made from, disks by their name. */
export interface KnownImages {
  readonly initramfs: RecalledImage | null;
  readonly disks: ReadonlyMap<string, RecalledImage>;
}

/** An overlay that was made for a disk of a VM. */
export interface MadeOverlay {
  /** The reference of its base image. */
  readonly reference: ImageReference;
  /** The minimum size of the disk that the guest sees; 0 if unknown. */
  readonly sizeBytes: number;
}

/** An image that a VM's disk is made from. */
export interface DiskImage extends KnownImage, DiskContent {
  /** Unique among the VM's disks, fit for a file name. */
  readonly name: string;
  /** Unique among the VM's disks, and usable in a file name. */
  readonly field: string;
  readonly readonly: boolean;
  /** The overlay that was made for this disk; if it does not exist any more, it is lost. null: none was made. */
  readonly made: MadeOverlay | null;
}

/** A disk as a hypervisor gets it. */
export interface ProvidedDisk {
  readonly path: string;
  readonly format: DiskFormat;
  /** The base image of an overlay; null for a disk that is an image itself. */
  readonly basePath: string | null;
  /** The size that the guest sees. */
  readonly sizeBytes: number;
}

/** Contents by file name; bytes if they are not text. */
export type SeedFiles = ReadonlyMap<string, string | Uint8Array>;

/** Images and disks. A part of HostPorts. */
export interface MediaHost {
  /**
   * Checks a file and resolves to its facts. Links are resolved before the directory is checked. Throws
   * MEDIA_NOT_ALLOWED, MEDIA_INVALID, also for a file of another kind, or MEDIA_CHECKSUM_MISMATCH if a SHA-256 is
   * given.
   */
  inspectMedia(path: string, checksum: string | null, kind?: MediaKind): Promise<MediaFacts>;
  /** Whether a file is allowed but does not exist, so it may be added later; false for any other problem. */
  isMissing(path: string): Promise<boolean>;
  /**
   * A remote file, downloaded or from the cache. Concurrent callers share a download. A download without callers is
   * cancelled, and what has arrived is kept. Rejects with the signal's reason, MEDIA_DOWNLOAD_FAILED,
   * MEDIA_CHECKSUM_MISMATCH, MEDIA_NOT_ALLOWED or DISK_SPACE_LOW.
   */
  fetchMedium(
    url: string,
    checksum: string | null,
    onProgress: (progress: MediaProgress) => void,
    signal?: AbortSignal,
  ): Promise<HeldMedia>;
  /**
   * The root disk of a container image, pulled and built or from the cache. Concurrent callers share the work. Work
   * without callers is cancelled. Rejects with the signal's reason, MEDIA_DOWNLOAD_FAILED, MEDIA_CHECKSUM_MISMATCH,
   * MEDIA_INVALID, MEDIA_NOT_ALLOWED, FEATURE_UNAVAILABLE or DISK_SPACE_LOW.
   */
  fetchImage(
    request: ImageRequest,
    onProgress: (progress: MediaProgress) => void,
    signal?: AbortSignal,
  ): Promise<HeldImage>;
  /** The container images of the cache. */
  listImages(): Promise<readonly StoredImage[]>;
  /** The pulls under way. */
  pulls(): readonly PullProgress[];
  /** Removes an image from the cache. Throws IMAGE_NOT_FOUND, IMAGE_IN_USE. */
  removeImage(digest: string): Promise<void>;
  /** The images that a VM was made from at its last start, as far as they are unchanged. */
  recallImages(vmId: number): Promise<KnownImages>;
  /**
   * The disks of a VM, in the order of their images. A writable disk is an overlay that the VM keeps until removeDisks,
   * or until its image has another reference. Images are never changed. The initramfs is only recorded as one that the
   * VM is made from. Throws MEDIA_INVALID or DISK_SPACE_LOW.
   */
  provideDisks(
    vmId: number,
    images: readonly DiskImage[],
    initramfs: KnownImage | null,
  ): Promise<readonly ProvidedDisk[]>;
  /**
   * Makes the seed disk with these files and returns its path. It replaces an earlier one and is removed with the
   * disks.
   */
  writeSeed(vmId: number, files: SeedFiles): Promise<string>;
  /** Removes the disks of a VM, if there are any. */
  removeDisks(vmId: number): Promise<void>;
  /** The guest kernel: the uncompressed one if it exists, else the bzImage. Throws KERNEL_MISSING. */
  findKernel(): Promise<MediaFacts>;
  /** The memory that the files of a boot take in a guest. The files must have been checked before. */
  measureBoot(files: {
    readonly kernelPath: string;
    readonly initramfsPath: string | null;
  }): Promise<BootSizes>;
  /**
   * The bytes of a file that a manifest names, under the rules of inspectMedia. Throws MEDIA_NOT_ALLOWED, MEDIA_INVALID
   * if it is too large, or DOCUMENT_NOT_FOUND.
   */
  readDocument(path: string): Promise<Uint8Array>;
  /** Converts YAML to JSON. Throws DOCUMENT_UNREACHABLE if that is impossible. */
  documentToJson(text: string): Promise<string>;
}
