// workers, main-thread side: downloads that are under way, and the cache that they go into. Whoever asks
// for a file that is on its way already waits for the same download and hears of the same progress.

import { MessageChannel } from 'node:worker_threads';
import { LIMITS } from '../config.ts';
import type { HeldMedia, MediaFacts, MediaProgress } from '../engine/media-ports.ts';
import { digestIn } from '../lib/digest.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import type { HostSettings, Run } from './protocol.ts';

/** Somebody who waits for a download. */
interface Waiter {
  readonly tell: (progress: MediaProgress) => void;
}

interface Flight {
  readonly facts: Promise<MediaFacts>;
  readonly waiters: Set<Waiter>;
  /** Ends it before its time. */
  cut(): void;
}

export class Downloads {
  readonly #settings: HostSettings;
  /** For jobs that are over at once. */
  readonly #run: Run;
  readonly #runDownload: Run;
  readonly #log: Logger;
  readonly #flights = new Map<string, Flight>();
  /** Those that were cut and have not ended yet: another one of the same file waits for that. */
  readonly #ending = new Map<string, Promise<unknown>>();
  /** Paths of the cache -> how many launches are about to use them. */
  readonly #held = new Map<string, number>();
  readonly #trimTimer: NodeJS.Timeout;
  #trimSoon: NodeJS.Timeout | null = null;

  constructor(settings: HostSettings, run: Run, runDownload: Run, log: Logger) {
    this.#settings = settings;
    this.#run = run;
    this.#runDownload = runDownload;
    this.#log = log;
    this.#trimTimer = setInterval(() => void this.#trim(), LIMITS.mediaTrimIntervalMs).unref();
    this.trimSoon();
  }

  /** See HostPort.fetchMedium. */
  async fetch(
    url: string,
    checksum: string | null,
    onProgress: Waiter['tell'],
    signal: AbortSignal | undefined,
  ): Promise<HeldMedia> {
    const settings = this.#settings;
    const digest = checksum === null ? null : digestIn(checksum);
    const cached = digest === null ? null : await this.#run('findCached', { settings, digest });
    return this.#hold(cached ?? (await this.#await(url, digest, onProgress, signal)));
  }

  /** Brings the cache back to its budget in a moment; many calls are one. */
  trimSoon(): void {
    this.#trimSoon ??= setTimeout(() => {
      this.#trimSoon = null;
      void this.#trim();
    }, LIMITS.mediaTrimDelayMs).unref();
  }

  close(): void {
    clearInterval(this.#trimTimer);
    if (this.#trimSoon !== null) clearTimeout(this.#trimSoon);
  }

  async #await(
    url: string,
    digest: string | null,
    tell: Waiter['tell'],
    signal: AbortSignal | undefined,
  ): Promise<MediaFacts> {
    signal?.throwIfAborted();
    const key = `${digest ?? ''} ${url}`;
    const flight = this.#flights.get(key) ?? this.#begin(key, url, digest);
    const waiter: Waiter = { tell };
    flight.waiters.add(waiter);
    try {
      return await (signal === undefined ? flight.facts : unlessAborted(flight.facts, signal));
    } finally {
      flight.waiters.delete(waiter);
      if (flight.waiters.size === 0) flight.cut();
    }
  }

  #begin(key: string, url: string, digest: string | null): Flight {
    const waiters = new Set<Waiter>();
    const end = new AbortController();
    const facts = this.#download(url, digest, waiters, end.signal, this.#ending.get(key));
    const flight: Flight = {
      facts,
      waiters,
      cut: () => {
        if (this.#flights.get(key) !== flight) return;
        this.#flights.delete(key);
        this.#ending.set(key, ended);
        end.abort();
      },
    };
    this.#flights.set(key, flight);
    const settle = () => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
      if (this.#ending.get(key) === ended) this.#ending.delete(key);
    };
    const ended: Promise<void> = facts.then(settle, settle);
    return flight;
  }

  /** Where the disk is too full for it, what nobody uses makes room, once. */
  async #download(
    url: string,
    digest: string | null,
    waiters: ReadonlySet<Waiter>,
    end: AbortSignal,
    before: Promise<unknown> | undefined,
  ): Promise<MediaFacts> {
    await before;
    try {
      return await this.#runOnce(url, digest, waiters, end);
    } catch (error) {
      if (!(error instanceof VolantError) || error.code !== 'DISK_SPACE_LOW') throw error;
      const missing = Number(error.details?.['missing_bytes'] ?? LIMITS.diskReserveBytes);
      if ((await this.#trim(missing)) < missing) throw error;
      return await this.#runOnce(url, digest, waiters, end);
    }
  }

  async #runOnce(
    url: string,
    digest: string | null,
    waiters: ReadonlySet<Waiter>,
    end: AbortSignal,
  ): Promise<MediaFacts> {
    if (end.aborted) throw new VolantError('MEDIA_DOWNLOAD_FAILED', 'Nobody waits for it');
    const { port1, port2 } = new MessageChannel();
    // A message waits for a job that has not begun; that the port was closed could be missed.
    const tellEnd = () => port2.postMessage('end');
    end.addEventListener('abort', tellEnd, { once: true });
    port2.on('message', (progress: MediaProgress) => {
      for (const { tell } of waiters) tell(progress);
    });
    port2.unref();
    try {
      const argument = { settings: this.#settings, url, digest, progress: port1 };
      return await this.#runDownload('fetchMedium', argument, [port1]);
    } finally {
      end.removeEventListener('abort', tellEnd);
      port2.close();
      this.trimSoon();
    }
  }

  #hold(facts: MediaFacts): HeldMedia {
    const { realPath } = facts;
    this.#held.set(realPath, (this.#held.get(realPath) ?? 0) + 1);
    let isHeld = true;
    const release = () => {
      if (!isHeld) return;
      isHeld = false;
      const rest = (this.#held.get(realPath) ?? 0) - 1;
      if (rest > 0) this.#held.set(realPath, rest);
      else this.#held.delete(realPath);
    };
    return { ...facts, release };
  }

  /** Never rejects: the next one may succeed. Resolves with the bytes that were freed. */
  async #trim(freeBytes = 0): Promise<number> {
    const pinned = [...this.#held.keys()].map((path) => path.slice(path.lastIndexOf('/') + 1));
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

/** Rejects with the reason of the signal; the work goes on for others. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
