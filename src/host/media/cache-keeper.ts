// host, media: keeps the cache of images within its budget, and the files that launches are about to use in it.

import { LIMITS } from '../../config/limits.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { HostSettings, Run } from '../jobs/protocol.ts';
import { HeldFiles } from './shared-work.ts';

export class CacheKeeper {
  readonly held = new HeldFiles();
  readonly #settings: HostSettings;
  readonly #run: Run;
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  #soon: NodeJS.Timeout | null = null;

  constructor(settings: HostSettings, run: Run, log: Logger) {
    this.#settings = settings;
    this.#run = run;
    this.#log = log;
    this.#timer = setInterval(() => void this.#trim(), LIMITS.mediaTrimIntervalMs).unref();
    this.trimSoon();
  }

  /** Trims the cache to its budget after a short delay. Calls within the delay are one. */
  trimSoon(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = null;
      void this.#trim();
    }, LIMITS.mediaTrimDelayMs).unref();
  }

  /** When the disk is full, trims unused files of the cache and tries once more. */
  async withRoom<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof VolantError) || error.code !== 'DISK_SPACE_LOW') throw error;
      const missing = Number(error.details?.['missing_bytes'] ?? LIMITS.diskReserveBytes);
      if ((await this.#trim(missing)) < missing) throw error;
      return await work();
    } finally {
      this.trimSoon();
    }
  }

  close(): void {
    clearInterval(this.#timer);
    if (this.#soon !== null) clearTimeout(this.#soon);
  }

  /** Never rejects: the next attempt may succeed. Resolves with the number of bytes that were freed. */
  async #trim(freeBytes = 0): Promise<number> {
    const pinned = this.held.names();
    try {
      const freed = await this.#run('trimCache', { settings: this.#settings, pinned, freeBytes });
      if (freed > 0) this.#log.info({ freed }, 'images that were not used were removed');
      return freed;
    } catch (error) {
      this.#log.warn({ err: error }, 'the cache of images could not be trimmed');
      return 0;
    }
  }
}
