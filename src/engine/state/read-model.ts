// engine, state: the read model: every VM as reads see it. VMs of which the host has something are in memory with their
// records. For VMs at rest, the values that lists need are in memory, and records are read on demand. It is built from
// the store and changes after commits only, so it can be rebuilt at any time.

import { LIMITS } from '../../config/limits.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Condition } from '../../schema/condition.ts';
import type { Vm, VmWorkload } from '../../schema/vm.ts';
import type { VmListQuery, VmPage, VmStream } from '../engine-api.ts';
import type { VmRecord, VmSummary } from '../records.ts';
import { Entry, isAtRest, summaryOf } from '../vm-list/vm-entry.ts';
import { VmList } from '../vm-list/vm-list.ts';
import { KeptBodies } from './kept-bodies.ts';
import { vmOf } from './vm-body.ts';

/** What is on disk. */
export interface VmSource {
  /** The summary of every VM in ascending order of ids. */
  readonly summaries: Iterable<VmSummary>;
  /** The record of a VM as of the last commit. */
  readonly read: (vmId: number) => VmRecord | undefined;
}

export class ReadModel {
  readonly #runtimeDirectory: string;
  readonly #read: VmSource['read'];
  #revision = 0;
  readonly #byName = new Map<string, Entry>();
  readonly #byId = new Map<number, Entry>();
  /** VMs that are not at rest. */
  readonly #active = new Map<number, Entry>();
  /** Recently read records of VMs at rest. */
  readonly #recent = new Map<number, VmRecord>();
  /**
   * The number of changes of each VM that are being written. Until they are on disk, its record in memory stays
   * unchanged.
   */
  readonly #held = new Map<number, number>();
  readonly #bodies = new KeptBodies();
  /** The number of open streams. */
  #streams = 0;
  /** The status reason of VMs, known to this daemon only. */
  readonly #reasons = new Map<number, string>();
  /** The observed conditions of running VMs. Those that must be durable are in the records. */
  readonly #conditions = new Map<number, readonly Condition[]>();
  /** What agents report about workloads, known to this daemon only. */
  readonly #workloads = new Map<number, VmWorkload>();
  readonly #replicas = new Map<string, Set<number>>();
  readonly #list: VmList;
  /** The last list that was read: dashboards poll the same one. */
  #lastList: { readonly key: string; readonly list: VmPage } | null = null;

  readonly #watchers: ((vmId: number, record: VmRecord | undefined) => void)[] = [];

  constructor(runtimeDirectory: string, { summaries, read }: VmSource) {
    this.#runtimeDirectory = runtimeDirectory;
    this.#read = read;
    for (const summary of summaries) {
      const entry = new Entry(summary);
      if (!isAtRest(entry)) entry.record = this.#require(entry);
      this.#know(entry);
    }
    this.#list = new VmList(this.#byId);
  }

  /** Prepares filtered and sorted lists in the background. One that is asked for earlier waits for that. */
  prepareLists(): void {
    void this.#list.index();
  }

  /** Calls the watcher after each change of a record; undefined means that the record is gone. It must not throw. */
  watch(watcher: (vmId: number, record: VmRecord | undefined) => void): void {
    this.#watchers.push(watcher);
  }

  /** The number of changes of records so far. */
  get revision(): number {
    return this.#revision;
  }

  /** The revision of the last change of a VM's record; 0 for one that is unknown or has not changed. */
  revisionOf(vmId: number): number {
    return this.#byId.get(vmId)?.revision ?? 0;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** How much is cached of VMs at rest: recently read records, and the length of kept bodies. */
  get cached(): { readonly records: number; readonly bodyCharacters: number } {
    return { records: this.#recent.size, bodyCharacters: this.#bodies.characters };
  }

  /** The number of VMs at rest whose body is in memory. */
  get bodiesKept(): number {
    return this.#bodies.size;
  }

  put(record: VmRecord): void {
    this.#lastList = null;
    this.#revision += 1;
    const summary = summaryOf(record);
    const known = this.#byId.get(record.id);
    const entry = known ?? new Entry(summary);
    this.#dropBody(entry);
    entry.revision = this.#revision;
    if (known === undefined) {
      this.#know(entry);
      this.#list.add(entry);
    } else this.#list.change(entry, summary);
    this.#settle(entry, record);
    for (const watcher of this.#watchers) watcher(record.id, record);
  }

  /** A change of a VM is being written: until `release`, reads get the previous state. */
  hold(vmId: number): void {
    const entry = this.#byId.get(vmId);
    if (entry !== undefined) entry.record = this.#recordOf(entry);
    this.#held.set(vmId, (this.#held.get(vmId) ?? 0) + 1);
  }

  /** Ends `hold`: the change is on disk, or failed. */
  release(vmId: number): void {
    const left = (this.#held.get(vmId) ?? 0) - 1;
    if (left > 0) {
      this.#held.set(vmId, left);
      return;
    }
    this.#held.delete(vmId);
    const entry = this.#byId.get(vmId);
    if (entry !== undefined && entry.record !== null) this.#settle(entry, entry.record);
  }

  /** The status reason of a VM that `setStatusReason` set; null for none. */
  reasonOf(vmId: number): string | null {
    return this.#reasons.get(vmId) ?? null;
  }

  /** The API object of a record that is not stored. */
  preview(record: VmRecord): Vm {
    const extras = { waitsFor: undefined, conditions: [], workload: undefined };
    return vmOf(record, this.#runtimeDirectory, extras);
  }

  /** Sets the status reason in the VM's body; null removes it. */
  setStatusReason(vmId: number, reason: string | null): void {
    if (reason === null) this.#reasons.delete(vmId);
    else this.#reasons.set(vmId, reason);
    this.#remakeBody(vmId);
  }

  /** Sets the observed conditions in the VM's body; null if it does not run any more. */
  observe(vmId: number, conditions: readonly Condition[] | null): void {
    if (conditions === null) this.#conditions.delete(vmId);
    else this.#conditions.set(vmId, conditions);
    this.#remakeBody(vmId);
  }

  /** Sets the workload in the VM's body; null if the guest has ended. */
  setWorkload(vmId: number, workload: VmWorkload | null): void {
    if (workload === null) this.#workloads.delete(vmId);
    else this.#workloads.set(vmId, workload);
    this.#remakeBody(vmId);
  }

  /** The conditions in the VM's body. */
  conditionsOf(vmId: number): readonly Condition[] {
    const { process = null, conditions = [] } = this.record(vmId) ?? {};
    return (process === null ? undefined : this.#conditions.get(vmId)) ?? conditions;
  }

  /** What `setWorkload` set. */
  workloadOf(vmId: number): VmWorkload | undefined {
    return this.#workloads.get(vmId);
  }

  remove(vmId: number): void {
    const entry = this.#byId.get(vmId);
    if (entry === undefined) return;
    // A long list that is being read gets the VM as it was, because its record cannot be read any more.
    if (this.#streams > 0 && entry.record !== null) entry.body = this.#make(entry);
    this.#bodies.forget(entry);
    this.#conditions.delete(vmId);
    this.#workloads.delete(vmId);
    this.#reasons.delete(vmId);
    this.#lastList = null;
    this.#list.remove(entry);
    this.#byId.delete(vmId);
    this.#active.delete(vmId);
    this.#recent.delete(vmId);
    this.#byName.delete(entry.name);
    if (entry.deployment !== null) {
      const ids = this.#replicas.get(entry.deployment);
      ids?.delete(vmId);
      if (ids?.size === 0) this.#replicas.delete(entry.deployment);
    }
    for (const watcher of this.#watchers) watcher(vmId, undefined);
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  hasId(vmId: number): boolean {
    return this.#byId.has(vmId);
  }

  /** false for an unknown VM. */
  isAtRest(vmId: number): boolean {
    return this.#byId.has(vmId) && !this.#active.has(vmId);
  }

  body(name: string): string | undefined {
    const entry = this.#byName.get(name);
    return entry === undefined ? undefined : (entry.body ?? this.#bodyOf(entry));
  }

  recordByName(name: string): VmRecord | undefined {
    const entry = this.#byName.get(name);
    return entry === undefined ? undefined : this.#recordOf(entry);
  }

  record(vmId: number): VmRecord | undefined {
    const entry = this.#byId.get(vmId);
    return entry === undefined ? undefined : this.#recordOf(entry);
  }

  /** The VMs of a deployment, in the order of their creation. */
  replicasOf(deployment: string): readonly VmRecord[] {
    const ids = this.#replicas.get(deployment) ?? [];
    return [...ids].flatMap((id) => this.record(id) ?? []);
  }

  /** VMs that are not at rest. The host has nothing of the others, and there is nothing to do for them. */
  active(): readonly VmRecord[] {
    return [...this.#active.values()].map((entry) => this.#recordOf(entry));
  }

  /** Whether one of the VMs has a tap while it runs. */
  hasTaps(): boolean {
    for (const { hasTap } of this.#byId.values()) if (hasTap) return true;
    return false;
  }

  /** The summaries of all VMs. */
  summaries(): Iterable<VmSummary> {
    return this.#byId.values();
  }

  /** The number of VMs by status, and by runtime in lower case. */
  counts(): {
    readonly status: Readonly<Record<string, number>>;
    readonly runtime: Readonly<Record<string, number>>;
  } {
    return { status: this.#list.counts('status'), runtime: this.#list.counts('runtime') };
  }

  /** A page; synchronous, except shortly after a start of the daemon. For short pages; `stream` is for any length. */
  list(query: VmListQuery): VmPage | Promise<VmPage> {
    const key = JSON.stringify(query);
    if (this.#lastList?.key === key) return this.#lastList.list;
    const waiting = this.#list.waitsFor(query);
    if (waiting !== null) return waiting.then(() => this.list(query));
    const { entries, total } = this.#list.select(query);
    const bodies = entries.map((entry) => entry.body ?? this.#bodyOf(entry));
    const list = { body: `[${bodies.join(',')}]`, total };
    this.#lastList = { key, list };
    return list;
  }

  /**
   * A page of any length in pieces: the present VMs, each in its state when its piece is made. The caller must read it
   * to its end or call `return`. Throws OVERLOADED.
   */
  async stream(query: VmListQuery): Promise<VmStream> {
    await this.#list.waitsFor(query);
    if (this.#streams >= LIMITS.listStreamsMax) {
      const why = `At most ${LIMITS.listStreamsMax} long lists are sent at a time`;
      throw new VolantError('OVERLOADED', why, { retryAfterSeconds: 1 });
    }
    const { entries, total } = this.#list.select(query);
    return { total, count: entries.length, pieces: this.#counted(this.#pieces(entries)) };
  }

  /** Counts an open stream until it is read to its end or returned. */
  #counted(pieces: Generator<string, void, void>): VmStream['pieces'] {
    this.#streams += 1;
    let isOpen = true;
    const end = () => {
      if (isOpen) this.#streams -= 1;
      isOpen = false;
    };
    return {
      next: () => {
        const next = pieces.next();
        if (next.done === true) end();
        return next;
      },
      return: () => {
        end();
        return pieces.return();
      },
    };
  }

  *#pieces(entries: readonly Entry[]): Generator<string, void, void> {
    let piece = '[';
    for (const [index, entry] of entries.entries()) {
      // Bodies that other readers use are not evicted for it.
      const made = () => (this.#bodies.hasSpace ? this.#bodyOf(entry) : this.#make(entry));
      piece += `${index === 0 ? '' : ','}${entry.body ?? made()}`;
      if (piece.length < LIMITS.listPieceCharacters) continue;
      yield piece;
      piece = '';
    }
    yield `${piece}]`;
  }

  #know(entry: Entry): void {
    this.#byName.set(entry.name, entry);
    this.#byId.set(entry.id, entry);
    if (!isAtRest(entry)) this.#active.set(entry.id, entry);
    if (entry.deployment === null) return;
    const ids = this.#replicas.get(entry.deployment) ?? new Set();
    this.#replicas.set(entry.deployment, ids.add(entry.id));
  }

  /** Keeps the record of a VM that is not at rest or is held; others are kept as recently read. */
  #settle(entry: Entry, record: VmRecord): void {
    const { id } = entry;
    const rests = isAtRest(entry);
    if (rests) this.#active.delete(id);
    else this.#active.set(id, entry);
    const isKept = !rests || this.#held.has(id);
    entry.record = isKept ? record : null;
    if (isKept) this.#recent.delete(id);
    else this.#remember(id, record);
  }

  #recordOf(entry: Entry): VmRecord {
    if (entry.record !== null) return entry.record;
    const record = this.#recent.get(entry.id) ?? this.#require(entry);
    this.#remember(entry.id, record);
    return record;
  }

  #require({ id, name }: VmSummary): VmRecord {
    const record = this.#read(id);
    if (record !== undefined) return record;
    throw new VolantError('INTERNAL', `the record of VM ${name} is not there`);
  }

  #remember(vmId: number, record: VmRecord): void {
    this.#recent.delete(vmId);
    this.#recent.set(vmId, record);
    if (this.#recent.size <= LIMITS.recordsKeptMax) return;
    for (const oldest of this.#recent.keys()) {
      this.#recent.delete(oldest);
      return;
    }
  }

  #remakeBody(vmId: number): void {
    const entry = this.#byId.get(vmId);
    if (entry === undefined) return;
    this.#dropBody(entry);
    this.#lastList = null;
  }

  #dropBody(entry: Entry): void {
    entry.body = null;
    this.#bodies.forget(entry);
  }

  #bodyOf(entry: Entry): string {
    const body = this.#make(entry);
    entry.body = body;
    if (isAtRest(entry)) this.#bodies.note(entry, body);
    return body;
  }

  #make(entry: Entry): string {
    const { id, record: kept } = entry;
    const record = kept ?? this.#recent.get(id) ?? this.#require(entry);
    const { process, conditions = [] } = record;
    const seen = process === null ? undefined : this.#conditions.get(id);
    const vm = vmOf(record, this.#runtimeDirectory, {
      waitsFor: this.#reasons.get(id),
      conditions: seen ?? conditions,
      workload: process === null ? undefined : this.#workloads.get(id),
    });
    return JSON.stringify(vm);
  }
}
