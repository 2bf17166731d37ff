// host, media: container images: pulls under way, and what is in the cache. Callers that need the same image share one pull
// and one build. The work itself is the job jobs/images/provide-image.ts.

import type {
  HeldImage,
  ImageFacts,
  ImageRequest,
  MediaProgress,
  PullProgress,
  StoredImage,
} from '../../engine/ports/media-ports.ts';
import type { HostSettings, Run } from '../jobs/protocol.ts';
import type { CacheKeeper } from './cache-keeper.ts';
import { SharedWork } from './shared-work.ts';

export class ContainerImages {
  readonly #settings: HostSettings;
  /** For short jobs. */
  readonly #run: Run;
  readonly #runImage: Run;
  readonly #cache: CacheKeeper;
  readonly #shared = new SharedWork<ImageFacts>();
  /** Removes what an earlier daemon has left of its builds, before the first one of this daemon. */
  #swept: Promise<unknown> | null = null;

  constructor(settings: HostSettings, run: Run, runImage: Run, cache: CacheKeeper) {
    this.#settings = settings;
    this.#run = run;
    this.#runImage = runImage;
    this.#cache = cache;
  }

  /** See MediaHost.fetchImage. */
  async fetch(
    request: ImageRequest,
    onProgress: (progress: MediaProgress) => void,
    signal: AbortSignal | undefined,
  ): Promise<HeldImage> {
    const settings = this.#settings;
    const { image, digest, refresh } = request;
    const known = refresh ? null : await this.#run('findImage', { settings, image, digest });
    return this.#cache.held.hold(known ?? (await this.#join(request, onProgress, signal)));
  }

  list(): Promise<readonly StoredImage[]> {
    return this.#run('listImages', { settings: this.#settings });
  }

  /** Pulls under way. What has reported nothing yet has received nothing. */
  pulls(): readonly PullProgress[] {
    return [...this.#shared.progress()].map(([key, progress]) => {
      const { image } = JSON.parse(key) as Pick<ImageRequest, 'image'>;
      return { image, ...(progress ?? { receivedBytes: 0, totalBytes: null }) };
    });
  }

  async remove(digest: string): Promise<void> {
    const pinned = this.#cache.held.names();
    await this.#run('removeImage', { settings: this.#settings, digest, pinned });
  }

  #join(
    { image, digest, refresh }: ImageRequest,
    onProgress: (progress: MediaProgress) => void,
    signal: AbortSignal | undefined,
  ): Promise<ImageFacts> {
    const settings = this.#settings;
    return this.#shared.join(
      // Work under way asks the registry already, so a refresh joins it.
      JSON.stringify({ image, digest }),
      async (attempt) => {
        this.#swept ??= this.#run('sweepImageBuilds', { settings });
        await this.#swept.catch((error: unknown) => {
          this.#swept = null;
          throw error;
        });
        return await this.#cache.withRoom(() =>
          attempt((progress) => {
            const argument = { settings, image, digest, refresh, progress };
            return this.#runImage('fetchImage', argument, [progress]);
          }),
        );
      },
      onProgress,
      signal,
    );
  }
}
