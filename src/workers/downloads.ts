// workers, main-thread side: downloads that are under way. Whoever asks for a file that is on its way
// already waits for the same download and hears of the same progress.

import { MessageChannel } from 'node:worker_threads';
import type { MediaFacts, MediaProgress } from '../engine/ports.ts';
import type { Logger } from '../lib/log.ts';
import type { HostSettings } from './protocol.ts';

type Listener = (progress: MediaProgress) => void;

interface Flight {
  readonly facts: Promise<MediaFacts>;
  readonly listeners: Set<Listener>;
}

interface Jobs {
  (
    name: 'fetchMedium',
    argument: {
      settings: HostSettings;
      url: string;
      checksum: string | null;
      progress: MessageChannel['port1'];
    },
    transferList: readonly MessageChannel['port1'][],
  ): Promise<MediaFacts>;
  (name: 'trimCache', argument: { settings: HostSettings }): Promise<number>;
}

export class Downloads {
  readonly #settings: HostSettings;
  readonly #run: Jobs;
  readonly #log: Logger;
  readonly #flights = new Map<string, Flight>();

  constructor(settings: HostSettings, run: Jobs, log: Logger) {
    this.#settings = settings;
    this.#run = run;
    this.#log = log;
  }

  async fetch(url: string, checksum: string | null, onProgress: Listener): Promise<MediaFacts> {
    const key = `${checksum ?? ''} ${url}`;
    const flight = this.#flights.get(key) ?? this.#begin(key, url, checksum);
    flight.listeners.add(onProgress);
    try {
      return await flight.facts;
    } finally {
      flight.listeners.delete(onProgress);
    }
  }

  #begin(key: string, url: string, checksum: string | null): Flight {
    const { port1, port2 } = new MessageChannel();
    const listeners = new Set<Listener>();
    let downloaded = false;
    port2.on('message', (progress: MediaProgress) => {
      downloaded = true;
      for (const listener of listeners) listener(progress);
    });
    port2.unref();
    const argument = { settings: this.#settings, url, checksum, progress: port1 };
    const facts = this.#run('fetchMedium', argument, [port1]).finally(() => {
      port2.close();
      this.#flights.delete(key);
      if (downloaded) this.#trim();
    });
    const flight = { facts, listeners };
    this.#flights.set(key, flight);
    return flight;
  }

  #trim(): void {
    this.#run('trimCache', { settings: this.#settings }).then(
      (freedBytes) => {
        if (freedBytes > 0)
          this.#log.info({ freedBytes }, 'images that were not used were removed');
      },
      (error: unknown) =>
        this.#log.warn({ err: error }, 'the cache of images could not be trimmed'),
    );
  }
}
