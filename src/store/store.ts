// store: the StorePort on LMDB. One writer, one transaction at a time: what is committed while a
// transaction is on its way to the disk goes together into the next one, so many requests share one
// sync. Event numbers are given at that moment and used up only by what reaches the disk.

import { LIMITS } from '../config.ts';
import type { Snapshot, StorePort, Write } from '../engine/ports.ts';
import type { EventBody, HostChanges, StoredEvent } from '../engine/records.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { type Env, openEnv } from './env.ts';
import { openTables, STORE_VERSION, type Tables } from './tables.ts';

interface Commit {
  readonly writes: readonly Write[];
  readonly events: readonly EventBody[];
  readonly resolve: (stored: readonly StoredEvent[]) => void;
  readonly reject: (error: VolantError) => void;
}

/** Old events that one transaction removes at most, so that no commit pays for a long backlog. */
const PRUNED_PER_FLUSH_MAX = 1_000;

/** Opens the store. Throws when the directory cannot be used or was written by a newer daemon. */
export function openStore(
  directory: string,
  log: Logger,
  eventsMax: number = LIMITS.eventsStoredMax,
): Store {
  return new Store(openEnv(directory), log, eventsMax);
}

export class Store implements StorePort {
  readonly #env: Env;
  readonly #tables: Tables;
  readonly #log: Logger;
  readonly #eventsMax: number;
  #lastSequence: number;
  #oldestSequence: number;
  #waiting: Commit[] = [];
  #flushing: Promise<void> | null = null;
  #closed = false;
  healthy = true;

  constructor(env: Env, log: Logger, eventsMax: number) {
    this.#env = env;
    this.#log = log;
    this.#eventsMax = eventsMax;
    this.#tables = openTables(env);
    const version = this.#tables.meta.get('storeVersion');
    if (typeof version === 'number' && version > STORE_VERSION) {
      throw new Error(
        `the state was written by a newer volantd (format ${version}, this one knows ${STORE_VERSION})`,
      );
    }
    this.#lastSequence = firstKey(this.#tables.events.range({ reverse: true, limit: 1 })) ?? 0;
    this.#oldestSequence =
      firstKey(this.#tables.events.range({ limit: 1 })) ?? this.#lastSequence + 1;
  }

  load(): Snapshot {
    const { vms, addresses, plugins, meta } = this.#tables;
    const ids = [...vms.range({})].map(({ value }) => value);
    const lastGiven = (meta.get('lastVmId') as number | undefined) ?? 0;
    return {
      vms: ids,
      addresses: [...addresses.range({})].map(({ key, value }) => [key, value] as const),
      plugins: [...plugins.range({})].map(({ value }) => value),
      lastVmId: ids.reduce((highest, { id }) => Math.max(highest, id), lastGiven),
      lastSequence: this.#lastSequence,
      hostChanges: (meta.get('hostChanges') as HostChanges | undefined) ?? {},
      kvmVerdicts: (meta.get('kvmVerdicts') as Record<string, boolean> | undefined) ?? {},
    };
  }

  commit(writes: readonly Write[], events: readonly EventBody[]): Promise<readonly StoredEvent[]> {
    if (this.#closed) return Promise.reject(new VolantError('SHUTTING_DOWN'));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ writes, events, resolve, reject });
      // Begun at the end of this turn: everything that the turn commits goes together.
      this.#flushing ??= Promise.resolve().then(() => this.#flushAll());
    });
  }

  config(vmId: number, version: number) {
    return this.#tables.configs.get([vmId, version]);
  }

  configs(vmId: number, limit: number) {
    // Downwards from the highest possible version to the first.
    const start: [number, number] = [vmId, Number.MAX_SAFE_INTEGER];
    const range = this.#tables.configs.range({ start, end: [vmId, 0], limit, reverse: true });
    return [...range].map(({ value }) => value);
  }

  eventsAfter(sequence: number, limit: number): readonly StoredEvent[] {
    const range = this.#tables.events.range({ start: sequence + 1, limit });
    return [...range].map(({ key, value }) => ({ sequence: key, body: value }));
  }

  oldestSequence(): number {
    return this.#oldestSequence;
  }

  /** Lets what was committed reach the disk, then closes. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#flushing;
    await this.#env.close();
  }

  async #flushAll(): Promise<void> {
    while (this.#waiting.length > 0) await this.#flush(this.#waiting.splice(0));
    this.#flushing = null;
  }

  async #flush(commits: readonly Commit[]): Promise<void> {
    let sequence = this.#lastSequence;
    const numbered = commits.map(({ events }) =>
      events.map((body): StoredEvent => {
        sequence += 1;
        return { sequence, body };
      }),
    );
    const oldest = Math.min(
      Math.max(this.#oldestSequence, sequence + 1 - this.#eventsMax),
      this.#oldestSequence + PRUNED_PER_FLUSH_MAX,
    );
    try {
      await this.#env.write(() => {
        for (const { writes } of commits) for (const write of writes) this.#apply(write);
        for (const event of numbered.flat()) this.#tables.events.put(event.sequence, event.body);
        for (let old = this.#oldestSequence; old < oldest; old += 1)
          this.#tables.events.remove(old);
        this.#tables.meta.put('storeVersion', STORE_VERSION);
      });
    } catch (error) {
      this.healthy = false;
      this.#log.error({ err: error }, 'the state could not be written');
      for (const { reject } of commits) {
        reject(new VolantError('STORE_UNAVAILABLE', undefined, { cause: error }));
      }
      return;
    }
    this.healthy = true;
    this.#lastSequence = sequence;
    this.#oldestSequence = oldest;
    commits.forEach(({ resolve }, index) => resolve(numbered[index] ?? []));
  }

  #apply(write: Write): void {
    const table = this.#tables[write.table] as {
      put(key: unknown, value: unknown): void;
      remove(key: unknown): void;
    };
    if (write.value === null) table.remove(write.key);
    else table.put(write.key, write.value);
  }
}

function firstKey(entries: Iterable<{ key: number }>): number | undefined {
  for (const { key } of entries) return key;
  return undefined;
}
