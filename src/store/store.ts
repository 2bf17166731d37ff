// store: the StorePort on LMDB. One writer, one transaction at a time: everything that is committed
// until a transaction begins goes into it together, so many requests share one sync. Event numbers
// are given at that moment and used up only by what reaches the disk.

import { randomBytes } from 'node:crypto';
import { LIMITS } from '../config.ts';
import type { EventBody, HostChanges, KvmTrial, StoredEvent, VmRecord } from '../engine/records.ts';
import type { Snapshot, StorePort, Write } from '../engine/store-ports.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { Backups } from './backup.ts';
import { type Env, type Key, keyBytes, openEnv } from './env.ts';
import { migrate } from './formats.ts';
import { openTables, STORE_VERSION, type Tables } from './tables.ts';

/** A write as it goes to the disk. */
interface EncodedWrite {
  readonly table: Write['table'];
  readonly key: Write['key'];
  /** null removes. */
  readonly value: Uint8Array | null;
}

interface EncodedEvent {
  readonly body: EventBody;
  readonly value: Uint8Array;
}

/** Encoded before it joins others in a transaction, so that what cannot be written fails alone. */
interface Commit {
  readonly writes: readonly EncodedWrite[];
  readonly events: readonly EncodedEvent[];
  readonly resolve: (stored: readonly StoredEvent[]) => void;
  readonly reject: (error: VolantError) => void;
}

interface NumberedEvent extends StoredEvent {
  readonly value: Uint8Array;
}

/** What one transaction has taken on, and where the event numbers stand when it is on disk. */
interface Flush {
  readonly commits: readonly Commit[];
  readonly numbered: readonly (readonly NumberedEvent[])[];
  readonly lastSequence: number;
  readonly oldestSequence: number;
}

export interface StateIdentity {
  /** Nothing was ever written to it. */
  readonly isNew: boolean;
  readonly hasVms: boolean;
  /** The highest id that was given to a VM; 0 when none was. */
  readonly lastVmId: number;
  /** At random; null in a state that is new or older than this. */
  readonly homeId: string | null;
  /** Where its VMs ran last. */
  readonly runtimeDirectory: string | null;
}

/**
 * Opens the store, in the present format. Throws when the directory cannot be used; StartRefused when a newer daemon
 * wrote it.
 */
export function openStore(
  directory: string,
  log: Logger,
  eventsMax: number = LIMITS.eventsStoredMax,
): Store {
  const env = openEnv(directory);
  const migration = migrate(env, openTables(env), directory, Date.now());
  if (migration !== null) log.info({ ...migration }, 'the state has the present format now');
  return new Store(env, log, eventsMax);
}

export class Store implements StorePort {
  readonly #env: Env;
  readonly #backups: Backups;
  readonly #tables: Tables;
  readonly #log: Logger;
  readonly #eventsMax: number;
  #lastSequence: number;
  #oldestSequence: number;
  #waiting: Commit[] = [];
  #flushing: Promise<void> | null = null;
  #versionKnown: boolean;
  #closed = false;
  healthy = true;

  constructor(env: Env, log: Logger, eventsMax: number) {
    this.#env = env;
    this.#backups = new Backups(env);
    this.#log = log;
    this.#eventsMax = eventsMax;
    this.#tables = openTables(env);
    this.#versionKnown = this.#tables.meta.get('storeVersion') === STORE_VERSION;
    this.#lastSequence = firstKey(this.#tables.events.range({ reverse: true, limit: 1 })) ?? 0;
    this.#oldestSequence =
      firstKey(this.#tables.events.range({ limit: 1 })) ?? this.#lastSequence + 1;
  }

  load(): Snapshot {
    const { vms, addresses, plugins, deployments, devices, answers, artifacts, meta } =
      this.#tables;
    const records = [...vms.range({})].map(({ value }) => value);
    const lastGiven = (meta.get('lastVmId') as number | undefined) ?? 0;
    return {
      vms: records,
      addresses: [...addresses.range({})].map(({ key, value }) => [key, value] as const),
      plugins: [...plugins.range({})].map(({ value }) => value),
      deployments: [...deployments.range({})].map(({ value }) => value),
      devices: [...devices.range({})].map(({ value }) => value),
      answers: [...answers.range({})].map(({ key, value }) => [key, value] as const),
      artifacts: [...artifacts.range({})].map(({ value }) => value),
      lastVmId: records.reduce((highest, { id }) => Math.max(highest, id), lastGiven),
      lastSequence: this.#lastSequence,
      builtinsInstalled: meta.get('builtinsInstalled') === true,
      bootId: (meta.get('bootId') as string | undefined) ?? null,
      hostChanges: (meta.get('hostChanges') as HostChanges | undefined) ?? {},
      kvmTrials: (meta.get('kvmTrials') as Record<string, KvmTrial> | undefined) ?? {},
    };
  }

  /** Whose state this is, and what can be told of it without reading all of it. */
  identity(): StateIdentity {
    const { meta, vms } = this.#tables;
    return {
      isNew: !this.#versionKnown,
      hasVms: firstKey(vms.range({ limit: 1 })) !== undefined,
      lastVmId: Math.max(
        (meta.get('lastVmId') as number | undefined) ?? 0,
        firstKey(vms.range({ reverse: true, limit: 1 })) ?? 0,
      ),
      homeId: (meta.get('homeId') as string | undefined) ?? null,
      runtimeDirectory: (meta.get('runtimeDirectory') as string | undefined) ?? null,
    };
  }

  vm(id: number): VmRecord | undefined {
    return this.#tables.vms.get(id);
  }

  /**
   * The tag of this state's kernel objects. A new state gets a random one: homes with the same path, as containers
   * of one host have them, must not share it. A state that is older than the tag keeps the one that its
   * kernel objects have. It is on disk when this resolves.
   */
  async hostTag(derivedTag: string): Promise<string> {
    const known = this.#tables.meta.get('hostTag');
    if (typeof known === 'string') return known;
    const value = this.#versionKnown ? derivedTag : randomBytes(2).toString('hex');
    await this.commit([{ table: 'meta', key: 'hostTag', value }], []);
    return value;
  }

  commit(writes: readonly Write[], events: readonly EventBody[]): Promise<readonly StoredEvent[]> {
    if (this.#closed) return Promise.reject(new VolantError('SHUTTING_DOWN'));
    let encoded: Pick<Commit, 'writes' | 'events'>;
    try {
      encoded = {
        writes: writes.map(({ table, key, value }) => ({
          table,
          key: checked(key),
          value: this.#encode(value),
        })),
        events: events.map((body) => ({ body, value: this.#encodeSome(body) })),
      };
    } catch (cause) {
      return Promise.reject(unwritable(cause));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...encoded, resolve, reject });
      this.#flushing ??= this.#flushAll();
    });
  }

  #encode(value: unknown): Uint8Array | null {
    return value === null ? null : this.#encodeSome(value);
  }

  #encodeSome(value: unknown): Uint8Array {
    const bytes = this.#env.encode(value);
    if (bytes.length > LIMITS.recordBytesMax) throw new RangeError(`it has ${bytes.length} bytes`);
    return bytes;
  }

  /** The room is asked for, too: a record that replaces itself finds room where nothing else does. */
  async probe(): Promise<void> {
    await this.commit([{ table: 'meta', key: 'probe', value: Date.now() }], []);
    if ((await this.#env.freeBytes()) < LIMITS.healthFreeBytesMin) {
      throw new VolantError('DISK_SPACE_LOW', 'The disk of the records is full');
    }
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

  operations(vmId: number, limit: number) {
    const start: [number, number] = [vmId, Number.MAX_SAFE_INTEGER];
    const range = this.#tables.operations.range({ start, end: [vmId, 0], limit, reverse: true });
    return [...range].map(({ value }) => value);
  }

  eventsAfter(sequence: number, limit: number): readonly StoredEvent[] {
    const range = this.#tables.events.range({ start: sequence + 1, limit });
    return [...range].map(({ key, value }) => ({ sequence: key, body: value }));
  }

  oldestSequence(): number {
    return this.#oldestSequence;
  }

  backup() {
    return this.#backups.open();
  }

  /** Lets what was committed reach the disk, then closes. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#flushing;
    await this.#env.close();
  }

  async #flushAll(): Promise<void> {
    while (this.#waiting.length > 0) await this.#flush();
    this.#flushing = null;
  }

  async #flush(): Promise<void> {
    let flush: Flush | undefined;
    try {
      await this.#env.write(() => {
        flush = this.#take();
        this.#put(flush);
      });
    } catch (error) {
      this.healthy = false;
      this.#log.error({ err: error }, 'the state could not be written');
      for (const { reject } of (flush ?? this.#take()).commits) {
        reject(new VolantError('STORE_UNAVAILABLE', undefined, { cause: error }));
      }
      return;
    }
    if (flush === undefined) return;
    this.healthy = true;
    this.#versionKnown = true;
    this.#lastSequence = flush.lastSequence;
    this.#oldestSequence = flush.oldestSequence;
    for (const [index, { resolve }] of flush.commits.entries()) {
      resolve((flush.numbered[index] ?? []).map(({ sequence, body }) => ({ sequence, body })));
    }
  }

  /** Takes what waits, up to the bound, and gives its events their numbers. */
  #take(): Flush {
    const commits = this.#waiting.splice(0, LIMITS.commitsPerFlushMax);
    let lastSequence = this.#lastSequence;
    const numbered = commits.map(({ events }) =>
      events.map((event): NumberedEvent => {
        lastSequence += 1;
        return { sequence: lastSequence, ...event };
      }),
    );
    const wanted = Math.max(this.#oldestSequence, lastSequence + 1 - this.#eventsMax);
    const reachable = this.#oldestSequence + LIMITS.eventsPrunedPerFlushMax;
    return { commits, numbered, lastSequence, oldestSequence: Math.min(wanted, reachable) };
  }

  #put({ commits, numbered, oldestSequence }: Flush): void {
    const { events, meta } = this.#tables;
    for (const { writes } of commits) for (const write of writes) this.#apply(write);
    for (const { sequence, value } of numbered.flat()) events.putEncoded(sequence, value);
    for (let old = this.#oldestSequence; old < oldestSequence; old += 1) events.remove(old);
    if (!this.#versionKnown) meta.put('storeVersion', STORE_VERSION);
  }

  #apply(write: EncodedWrite): void {
    const table = this.#tables[write.table] as {
      putEncoded(key: unknown, value: Uint8Array): void;
      remove(key: unknown): void;
    };
    if (write.value === null) table.remove(write.key);
    else table.putEncoded(write.key, write.value);
  }
}

function checked<K extends Write['key']>(key: K): K {
  const bytes = keyBytes(key as Key);
  if (bytes <= LIMITS.recordKeyBytesMax) return key;
  throw new RangeError(`its key has ${bytes} bytes`);
}

/** Whoever asked for it has asked for something that cannot be kept. */
function unwritable(cause: unknown): VolantError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const details = { body: `cannot be kept: ${why}` };
  return new VolantError('BODY_INVALID', undefined, { details, cause });
}

function firstKey(entries: Iterable<{ key: number }>): number | undefined {
  for (const { key } of entries) return key;
  return undefined;
}
