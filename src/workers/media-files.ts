// workers, main-thread side: images and disks. What is shared between callers is here: looks at one file
// at the same time, its checksum, and downloads.

import type {
  BootFile,
  DiskImage,
  KnownImage,
  KnownImages,
  MediaFacts,
  MediaProgress,
  SeedFiles,
} from '../engine/media-ports.ts';
import type { Logger } from '../lib/log.ts';
import { Checksums } from './checksums.ts';
import { Downloads } from './downloads.ts';
import type { HostSettings, InspectedMedia, Run } from './protocol.ts';

/** Threads by how long their jobs take: none of them waits for those of another kind. */
export interface MediaThreads {
  readonly run: Run;
  readonly runChecksum: Run;
  readonly runDownload: Run;
}

export class MediaFiles {
  readonly #settings: HostSettings;
  readonly #run: Run;
  readonly #checksums: Checksums;
  readonly #downloads: Downloads;
  readonly #looks = new Map<string, Promise<InspectedMedia>>();

  constructor(settings: HostSettings, threads: MediaThreads, log: Logger) {
    const { run, runChecksum, runDownload } = threads;
    this.#settings = settings;
    this.#run = run;
    this.#checksums = new Checksums(runChecksum);
    this.#downloads = new Downloads(settings, run, runDownload, log);
  }

  async inspect(path: string, checksum: string | null, kind: BootFile | null): Promise<MediaFacts> {
    const facts = await this.#look(path, kind);
    if (checksum !== null) await this.#checksums.require(facts, path, checksum);
    return facts;
  }

  fetch(
    url: string,
    checksum: string | null,
    onProgress: (progress: MediaProgress) => void,
    signal: AbortSignal | undefined,
  ) {
    return this.#downloads.fetch(url, checksum, onProgress, signal);
  }

  recall(vmId: number): Promise<KnownImages> {
    return this.#run('recallImages', { settings: this.#settings, vmId });
  }

  provideDisks(vmId: number, disks: readonly DiskImage[], initramfs: KnownImage | null) {
    return this.#run('provideDisks', { settings: this.#settings, vmId, disks, initramfs });
  }

  writeSeed(vmId: number, files: SeedFiles): Promise<string> {
    return this.#run('writeSeed', { settings: this.#settings, vmId, files });
  }

  /** Its images may be nobody's now. */
  async removeDisks(vmId: number): Promise<void> {
    await this.#run('removeDisks', { settings: this.#settings, vmId });
    this.#downloads.trimSoon();
  }

  close(): void {
    this.#downloads.close();
  }

  /** Many VMs of one image are looked up at once: whoever asks while a look is under way shares it. */
  #look(path: string, kind: BootFile | null): Promise<InspectedMedia> {
    const key = `${kind} ${path}`;
    const underWay = this.#looks.get(key);
    if (underWay !== undefined) return underWay;
    const settings = this.#settings;
    const found = this.#run('inspectMedia', { settings, path, kind }).finally(() =>
      this.#looks.delete(key),
    );
    this.#looks.set(key, found);
    return found;
  }
}
