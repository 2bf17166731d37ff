// host, media: downloads under way. Callers that need the same file share one download and its progress. The download
// itself is the job jobs/media/download.ts, the cache that it goes into is kept by cache-keeper.ts.

import type { HeldMedia, MediaFacts, MediaProgress } from '../../engine/ports/media-ports.ts';
import { digestIn } from '../../lib/formats/digest.ts';
import type { HostSettings, Run } from '../jobs/protocol.ts';
import type { CacheKeeper } from './cache-keeper.ts';
import { SharedWork } from './shared-work.ts';

/** Shares downloads between callers. */
export class Downloads {
  readonly #settings: HostSettings;
  /** For short jobs. */
  readonly #run: Run;
  readonly #runDownload: Run;
  readonly #cache: CacheKeeper;
  readonly #shared = new SharedWork<MediaFacts>();

  constructor(settings: HostSettings, run: Run, runDownload: Run, cache: CacheKeeper) {
    this.#settings = settings;
    this.#run = run;
    this.#runDownload = runDownload;
    this.#cache = cache;
  }

  /** See MediaHost.fetchMedium. */
  async fetch(
    url: string,
    checksum: string | null,
    onProgress: (progress: MediaProgress) => void,
    signal: AbortSignal | undefined,
  ): Promise<HeldMedia> {
    const settings = this.#settings;
    const digest = checksum === null ? null : digestIn(checksum);
    const cached = digest === null ? null : await this.#run('findCached', { settings, digest });
    return this.#cache.held.hold(cached ?? (await this.#join(url, digest, onProgress, signal)));
  }

  #join(
    url: string,
    digest: string | null,
    onProgress: (progress: MediaProgress) => void,
    signal: AbortSignal | undefined,
  ): Promise<MediaFacts> {
    const settings = this.#settings;
    return this.#shared.join(
      `${digest ?? ''} ${url}`,
      (attempt) =>
        this.#cache.withRoom(() =>
          attempt((progress) =>
            this.#runDownload('fetchMedium', { settings, url, digest, progress }, [progress]),
          ),
        ),
      onProgress,
      signal,
    );
  }
}
