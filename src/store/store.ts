// store: implements StorePort on LMDB. There is one writer with one transaction at a time. All commits that arrive
// before a transaction begins join it, so many requests share one sync. Event numbers are assigned in the transaction
// and are used up only if it reaches the disk.

import { randomBytes } from 'node:crypto';
import { LIMITS } from '../config/limits.ts';
import type { Snapshot, StorePort, Write } from '../engine/ports/store-ports.ts';
import type {
  AddressLease,
  EventBody,
  HostChanges,
  KvmTrial,
  StoredEvent,
  VmRecord,
  VmSummary,
} from '../engine/records.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log/log.ts';
import { gauge } from '../lib/metrics/family.ts';
import { Backups } from './backup.ts';
import { CommitMeter } from './commit-meter.ts';
import { type Env, type Key, keyBytes, openEnv } from './env.ts';
import { migrate } from './formats.ts';
import type { StartRows } from './start-rows.ts';
import { rowOf, summaryReader } from './summaries.ts';
import { openTables, STORE_VERSION, type Tables } from './tables.ts';

/** A write in its encoded form. */
interface EncodedWrite {
  readonly table: Write['table'] | 'summaries';
  readonly key: Write['key'];
  /** null removes the record. */
  readonly value: Uint8Array | null;
}

interface EncodedEvent {
  readonly body: EventBody;
  readonly value: Uint8Array;
}

/** Encoded before it joins a transaction, so that a value that cannot be encoded fails alone. */
interface Commit {
  readonly writes: readonly EncodedWrite[];
  readonly events: readonly EncodedEvent[];
  readonly resolve: (stored: readonly StoredEvent[]) => void;
  readonly reject: (error: VolantError) => void;
}

interface NumberedEvent extends StoredEvent {
  readonly value: Uint8Array;
}

/** The commits of one transaction, and the event numbers after it. */
interface Flush {
  readonly commits: readonly Commit[];
  readonly numbered: readonly (readonly NumberedEvent[])[];
  readonly lastSequence: number;
  readonly oldestSequence: number;
}

/** What identifies a state, and what is known without reading all of it. */
export interface StateIdentity {
  /** Nothing was ever written to it. */
  readonly isNew: boolean;
  readonly hasVms: boolean;
  /** The highest VM id that was ever assigned; 0 when none was. */
  readonly lastVmId: number;
  /** Random; null in a state that is new or older than these ids. */
  readonly homeId: string | null;
  /** Where its VMs last ran. */
  readonly runtimeDirectory: string | null;
}

/**
 * Opens the store and migrates it to the current format. Throws when the directory cannot be used, and StartRefused
 * when a newer daemon wrote the state. `rows` were read of the same state before.
 */
export function openStore(
  directory: string,
  log: Logger,
  eventsMax: number = LIMITS.eventsStoredMax,
  rows: StartRows | null = null,
): Store {
  const env = openEnv(directory);
  const migration = migrate(env, openTables(env), directory, Date.now());
  if (migration !== null)
    log.info({ ...migration }, 'the state was migrated to the current format');
  return new Store(env, log, eventsMax, migration === null ? rows : null);
}

/** See StorePort for the methods. */
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
  readonly #rows: StartRows | null;
  readonly #meter = new CommitMeter();
  healthy = true;

  constructor(env: Env, log: Logger, eventsMax: number, rows: StartRows | null = null) {
    this.#env = env;
    this.#rows = rows;
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
    const { plugins, deployments, devices, answers, artifacts, meta } = this.#tables;
    return {
      plugins: [...plugins.range({})].map(({ value }) => value),
      deployments: [...deployments.range({})].map(({ value }) => value),
      devices: [...devices.range({})].map(({ value }) => value),
      answers: [...answers.range({})].map(({ key, value }) => [key, value] as const),
      artifacts: [...artifacts.range({})].map(({ value }) => value),
      lastVmId: this.identity().lastVmId,
      lastSequence: this.#lastSequence,
      builtinsInstalled: meta.get('builtinsInstalled') === true,
      bootId: (meta.get('bootId') as string | undefined) ?? null,
      hostChanges: (meta.get('hostChanges') as HostChanges | undefined) ?? {},
      kvmTrials: (meta.get('kvmTrials') as Record<string, KvmTrial> | undefined) ?? {},
    };
  }

  /** Returns what identifies this state, without reading all of it. */
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

  summaries(): Iterable<VmSummary> {
    return this.#rows?.takeSummaries() ?? this.#readSummaries();
  }

  *#readSummaries(): Iterable<VmSummary> {
    const read = summaryReader();
    for (const { key, value } of this.#tables.summaries.range({})) yield read(key, value);
  }

  addressLeases(): Iterable<readonly [address: string, lease: AddressLease]> {
    return this.#rows?.takeLeases() ?? this.#readLeases();
  }

  *#readLeases(): Iterable<readonly [address: string, lease: AddressLease]> {
    for (const { key, value } of this.#tables.addresses.range({})) yield [key, value];
  }

  vmCount(): number {
    return this.#tables.vms.size();
  }

  /** Every VM's record. A usual start does not need them. */
  allVms(): readonly VmRecord[] {
    return [...this.#tables.vms.range({})].map(({ value }) => value);
  }

  /**
   * Resolves with the tag of this state's kernel objects, which is then on disk. A new state gets a random one,
   * because containers of one host may have homes with the same path. A state from before stored tags keeps the
   * derived one that its kernel objects have.
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
        writes: writes.flatMap((write) => this.#encodeWrite(write)),
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

  /** A VM's record is removed with its summary. */
  #encodeWrite(write: Write): readonly EncodedWrite[] {
    const { table, key, value } = write;
    this.#rows?.forget(table);
    const encoded = { table, key: checked(key), value: this.#encode(value) };
    if (write.table !== 'vms') return [encoded];
    const row = write.value === null ? null : rowOf(write.value);
    return [encoded, { table: 'summaries', key: write.key, value: this.#encode(row) }];
  }

  #encode(value: unknown): Uint8Array | null {
    return value === null ? null : this.#encodeSome(value);
  }

  #encodeSome(value: unknown): Uint8Array {
    const bytes = this.#env.encode(value);
    if (bytes.length > LIMITS.recordBytesMax) throw new RangeError(`it has ${bytes.length} bytes`);
    return bytes;
  }

  /** Checks the free space, too: replacing a record may succeed on a disk that is full. */
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
    // Down from the highest possible version.
    const start: [number, number] = [vmId, Number.MAX_SAFE_INTEGER];
    const range = this.#tables.configs.range({ start, end: [vmId, 0], limit, reverse: true });
    return [...range].map(({ value }) => value);
  }

  operations(vmId: number, limit: number) {
    const start: [number, number] = [vmId, Number.MAX_SAFE_INTEGER];
    const range = this.#tables.operations.range({ start, end: [vmId, 0], limit, reverse: true });
    return [...range].map(({ value }) => value);
  }

  result(vmId: number) {
    return this.#tables.results.get(vmId);
  }

  revisions(deployment: string) {
    const start: [string, number] = [deployment, Number.MAX_SAFE_INTEGER];
    const range = this.#tables.revisions.range({ start, end: [deployment, 0], reverse: true });
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

  families() {
    const waiting = {
      name: 'volant_store_commits_waiting',
      help: 'Commits that wait for a transaction',
    };
    return [...this.#meter.families(), gauge(waiting, this.#waiting.length)];
  }

  /** Waits until what was committed is on disk, then closes. */
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
    const startedMs = performance.now();
    try {
      await this.#env.write(() => {
        flush = this.#take();
        this.#put(flush);
      });
    } catch (error) {
      this.healthy = false;
      this.#meter.failed();
      this.#log.error({ err: error }, 'the state could not be written');
      for (const { reject } of (flush ?? this.#take()).commits) {
        reject(new VolantError('STORE_UNAVAILABLE', undefined, { cause: error }));
      }
      return;
    }
    if (flush === undefined) return;
    this.healthy = true;
    this.#meter.wrote(performance.now() - startedMs, flush.commits.length);
    this.#versionKnown = true;
    this.#lastSequence = flush.lastSequence;
    this.#oldestSequence = flush.oldestSequence;
    for (const [index, { resolve }] of flush.commits.entries()) {
      resolve((flush.numbered[index] ?? []).map(({ sequence, body }) => ({ sequence, body })));
    }
  }

  /** Takes the waiting commits, up to the bound, and numbers their events. */
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

  #apply({ table: name, key, value }: EncodedWrite): void {
    const table = this.#tables[name] as {
      putEncoded(key: unknown, value: Uint8Array): void;
      remove(key: unknown): void;
    };
    if (value === null) table.remove(key);
    else table.putEncoded(key, value);
    if (name === 'vms' && value === null) this.#removeOperations(key as number);
  }

  /** All of a VM that is removed: those, too, that were written while its removal waited. */
  #removeOperations(vmId: number): void {
    const { operations } = this.#tables;
    const range = operations.range({ start: [vmId, 0], end: [vmId, Number.MAX_SAFE_INTEGER] });
    for (const { key } of [...range]) operations.remove(key);
  }
}

function checked<K extends Write['key']>(key: K): K {
  const bytes = keyBytes(key as Key);
  if (bytes <= LIMITS.recordKeyBytesMax) return key;
  throw new RangeError(`its key has ${bytes} bytes`);
}

/** The request asked for something that cannot be stored. */
function unwritable(cause: unknown): VolantError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const details = { body: `cannot be stored: ${why}` };
  return new VolantError('BODY_INVALID', undefined, { details, cause });
}

function firstKey(entries: Iterable<{ key: number }>): number | undefined {
  for (const { key } of entries) return key;
  return undefined;
}
