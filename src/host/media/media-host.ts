// host, media: the port MediaHost: images, disks and seeds. It shares between callers the inspections of one file,
// its checksum, and downloads. Each method runs a job of src/host/jobs/media.

import type {
  DiskImage,
  ImageRequest,
  KnownImage,
  KnownImages,
  MediaFacts,
  MediaHost,
  MediaKind,
  MediaProgress,
  SeedFiles,
} from '../../engine/ports/media-ports.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { HostSettings, InspectedMedia, Run } from '../jobs/protocol.ts';
import type { Removals } from '../removals.ts';
import { CacheKeeper } from './cache-keeper.ts';
import { Checksums } from './checksums.ts';
import { ContainerImages } from './container-images.ts';
import { Downloads } from './downloads.ts';

/** Runners of jobs by duration: short jobs never wait for long ones. */
export interface MediaThreads {
  readonly run: Run;
  readonly runChecksum: Run;
  readonly runDownload: Run;
  readonly runImage: Run;
}

/** Implements MediaHost by jobs. */
export class HostMedia implements MediaHost {
  readonly #settings: HostSettings;
  readonly #run: Run;
  readonly #removals: Removals;
  readonly #checksums: Checksums;
  readonly #cache: CacheKeeper;
  readonly #downloads: Downloads;
  readonly #images: ContainerImages;
  #kernel: Promise<MediaFacts> | null = null;
  readonly #inspections = new Map<string, Promise<InspectedMedia>>();

  constructor(settings: HostSettings, threads: MediaThreads, removals: Removals, log: Logger) {
    const { run, runChecksum, runDownload, runImage } = threads;
    this.#settings = settings;
    this.#run = run;
    this.#removals = removals;
    this.#checksums = new Checksums(runChecksum);
    this.#cache = new CacheKeeper(settings, run, log);
    this.#downloads = new Downloads(settings, run, runDownload, this.#cache);
    this.#images = new ContainerImages(settings, run, runImage, this.#cache);
  }

  async inspectMedia(path: string, checksum: string | null, kind?: MediaKind): Promise<MediaFacts> {
    const facts = await this.#inspect(path, kind ?? null);
    if (checksum !== null) await this.#checksums.require(facts, path, checksum);
    return facts;
  }

  isMissing(path: string): Promise<boolean> {
    return this.#run('isMissing', { settings: this.#settings, path });
  }

  fetchMedium(
    url: string,
    checksum: string | null,
    onProgress: (progress: MediaProgress) => void,
    signal?: AbortSignal,
  ) {
    return this.#downloads.fetch(url, checksum, onProgress, signal);
  }

  fetchImage(
    request: ImageRequest,
    onProgress: (progress: MediaProgress) => void,
    signal?: AbortSignal,
  ) {
    return this.#images.fetch(request, onProgress, signal);
  }

  listImages() {
    return this.#images.list();
  }

  pulls() {
    return this.#images.pulls();
  }

  removeImage(digest: string) {
    return this.#images.remove(digest);
  }

  recallImages(vmId: number): Promise<KnownImages> {
    return this.#run('recallImages', { settings: this.#settings, vmId });
  }

  provideDisks(vmId: number, disks: readonly DiskImage[], initramfs: KnownImage | null) {
    return this.#run('provideDisks', { settings: this.#settings, vmId, disks, initramfs });
  }

  writeSeed(vmId: number, files: SeedFiles): Promise<string> {
    return this.#run('writeSeed', { settings: this.#settings, vmId, files });
  }

  /** The images of the disks may be unused now, so the cache is trimmed. */
  async removeDisks(vmId: number): Promise<void> {
    await this.#removals.remove({ kind: 'disks', vmId });
    this.#cache.trimSoon();
  }

  /** Launches at the same time share one search. */
  findKernel(): Promise<MediaFacts> {
    this.#kernel ??= this.#run('findKernel', { settings: this.#settings }).finally(() => {
      this.#kernel = null;
    });
    return this.#kernel;
  }

  measureBoot(files: { readonly kernelPath: string; readonly initramfsPath: string | null }) {
    return this.#run('measureBoot', files);
  }

  readDocument(path: string) {
    return this.#run('readDocument', { settings: this.#settings, path });
  }

  documentToJson(text: string) {
    return this.#run('documentToJson', { text });
  }

  close(): void {
    this.#cache.close();
  }

  /** VMs of one image that start at the same time share one inspection. */
  #inspect(path: string, kind: MediaKind): Promise<InspectedMedia> {
    const key = `${JSON.stringify(kind)} ${path}`;
    const underWay = this.#inspections.get(key);
    if (underWay !== undefined) return underWay;
    const settings = this.#settings;
    const found = this.#run('inspectMedia', { settings, path, kind }).finally(() =>
      this.#inspections.delete(key),
    );
    this.#inspections.set(key, found);
    return found;
  }
}
