// engine: every VM in memory, with its body as ready JSON text, so that a read parses, copies and
// waits for nothing. Built from the store and changed only by what the store has committed: it can
// be thrown away and rebuilt at any time.

import { toTimestamp } from '../lib/clock.ts';
import type { Condition } from '../schema/condition.ts';
import type { Vm, VmWorkload } from '../schema/vm.ts';
import type { VmListQuery } from './engine-api.ts';
import { RUN_FILES } from './ports.ts';
import type { VmRecord } from './records.ts';

interface Entry {
  readonly record: VmRecord;
  readonly body: string;
  /** Of the last change of the record. */
  readonly revision: number;
}

/** A JSON array as text, and how many VMs matched before paging. */
interface VmList {
  readonly body: string;
  readonly total: number;
}

export class ReadModel {
  readonly #runtimeDirectory: string;
  #revision = 0;
  readonly #byName = new Map<string, Entry>();
  readonly #byId = new Map<number, Entry>();
  /** Why a VM is not further, for its body; known to this daemon only. */
  readonly #reasons = new Map<number, string>();
  /** What was seen of VMs that run, for their bodies; what must be durable of it is in the records. */
  readonly #conditions = new Map<number, readonly Condition[]>();
  /** What agents tell of workloads; known to this daemon only. */
  readonly #workloads = new Map<number, VmWorkload>();
  readonly #replicas = new Map<string, Set<number>>();
  /** Ascending by id, which is the order of creation. */
  #ordered: Entry[] = [];
  /** The last list that was asked for: dashboards ask for the same one again and again. */
  #lastList: { readonly key: string; readonly list: VmList } | null = null;

  readonly #watchers: ((vmId: number, record: VmRecord | undefined) => void)[] = [];

  constructor(runtimeDirectory: string, records: readonly VmRecord[]) {
    this.#runtimeDirectory = runtimeDirectory;
    for (const record of [...records].sort((a, b) => a.id - b.id)) this.put(record);
  }

  /** Called after each change of a record, with it as it is then; undefined: it is gone. Must not throw. */
  watch(watcher: (vmId: number, record: VmRecord | undefined) => void): void {
    this.#watchers.push(watcher);
  }

  /** Counts the changes of records. */
  get revision(): number {
    return this.#revision;
  }

  /** The count at the last change of a VM's record; 0 of one that is not there. */
  revisionOf(vmId: number): number {
    return this.#byId.get(vmId)?.revision ?? 0;
  }

  get size(): number {
    return this.#ordered.length;
  }

  put(record: VmRecord): void {
    this.#lastList = null;
    const before = this.#byId.get(record.id);
    const isNews = before?.record !== record;
    if (isNews) this.#revision += 1;
    const entry: Entry = {
      revision: isNews ? this.#revision : before.revision,
      record,
      body: JSON.stringify(this.#vmOf(record)),
    };
    this.#byName.set(record.name, entry);
    const known = before !== undefined;
    if (!known && record.replica !== undefined) {
      const { deployment } = record.replica;
      const ids = this.#replicas.get(deployment) ?? new Set();
      this.#replicas.set(deployment, ids.add(record.id));
    }
    this.#byId.set(record.id, entry);
    if (known) this.#ordered[this.#indexOf(record.id)] = entry;
    else this.#ordered.push(entry);
    if (isNews) for (const watcher of this.#watchers) watcher(record.id, record);
  }

  /** What explain was told last; null for nothing. */
  reasonOf(vmId: number): string | null {
    return this.#reasons.get(vmId) ?? null;
  }

  /** How a VM of this record would be shown. */
  preview(record: VmRecord): Vm {
    const told = { waitsFor: undefined, conditions: [], workload: undefined };
    return vmOf(record, this.#runtimeDirectory, told);
  }

  /** Tells in the VM's body why it is not further; null: nothing holds it up. */
  explain(vmId: number, reason: string | null): void {
    if (reason === null) this.#reasons.delete(vmId);
    else this.#reasons.set(vmId, reason);
    const record = this.record(vmId);
    if (record !== undefined) this.put(record);
  }

  /** Tells in the VM's body what was seen of it; null: it does not run any more. */
  observe(vmId: number, conditions: readonly Condition[] | null): void {
    if (conditions === null) this.#conditions.delete(vmId);
    else this.#conditions.set(vmId, conditions);
    const record = this.record(vmId);
    if (record !== undefined) this.put(record);
  }

  /** Tells in the VM's body what its agent says of the workload; null: the guest has ended. */
  tellWorkload(vmId: number, workload: VmWorkload | null): void {
    if (workload === null) this.#workloads.delete(vmId);
    else this.#workloads.set(vmId, workload);
    const record = this.record(vmId);
    if (record !== undefined) this.put(record);
  }

  /** What is said of a VM in its body. */
  conditionsOf(vmId: number): readonly Condition[] {
    const { process = null, conditions = [] } = this.record(vmId) ?? {};
    return (process === null ? undefined : this.#conditions.get(vmId)) ?? conditions;
  }

  /** What tellWorkload was told last. */
  workloadOf(vmId: number): VmWorkload | undefined {
    return this.#workloads.get(vmId);
  }

  remove(vmId: number): void {
    const entry = this.#byId.get(vmId);
    if (entry === undefined) return;
    this.#conditions.delete(vmId);
    this.#workloads.delete(vmId);
    this.#reasons.delete(vmId);
    this.#lastList = null;
    this.#byId.delete(vmId);
    this.#byName.delete(entry.record.name);
    const { replica } = entry.record;
    if (replica !== undefined) {
      const ids = this.#replicas.get(replica.deployment);
      ids?.delete(vmId);
      if (ids?.size === 0) this.#replicas.delete(replica.deployment);
    }
    this.#ordered.splice(this.#indexOf(vmId), 1);
    for (const watcher of this.#watchers) watcher(vmId, undefined);
  }

  body(name: string): string | undefined {
    return this.#byName.get(name)?.body;
  }

  recordByName(name: string): VmRecord | undefined {
    return this.#byName.get(name)?.record;
  }

  record(vmId: number): VmRecord | undefined {
    return this.#byId.get(vmId)?.record;
  }

  /** The VMs of a deployment, in the order of their creation. */
  replicasOf(deployment: string): readonly VmRecord[] {
    const ids = this.#replicas.get(deployment) ?? [];
    return [...ids].flatMap((id) => this.#byId.get(id)?.record ?? []);
  }

  records(): readonly VmRecord[] {
    return this.#ordered.map((entry) => entry.record);
  }

  list(query: VmListQuery): VmList {
    const key = JSON.stringify(query);
    if (this.#lastList?.key === key) return this.#lastList.list;
    const matching = this.#matching(query);
    const end = query.limit === undefined ? undefined : query.offset + query.limit;
    const page = matching.slice(query.offset, end);
    const body = `[${page.map((entry) => entry.body).join(',')}]`;
    const list = { body, total: matching.length };
    this.#lastList = { key, list };
    return list;
  }

  #vmOf(record: VmRecord): Vm {
    const { id, process, conditions = [] } = record;
    const seen = process === null ? undefined : this.#conditions.get(id);
    return vmOf(record, this.#runtimeDirectory, {
      waitsFor: this.#reasons.get(id),
      conditions: seen ?? conditions,
      workload: process === null ? undefined : this.#workloads.get(id),
    });
  }

  #matching(query: VmListQuery): readonly Entry[] {
    const filters = filtersOf(query);
    const chosen =
      filters.length === 0
        ? this.#ordered
        : this.#ordered.filter(({ record }) => filters.every((matches) => matches(record)));
    if (query.sort === 'created_at') return query.descending ? chosen.toReversed() : chosen;
    const key = SORT_KEYS[query.sort];
    const sign = query.descending ? -1 : 1;
    return chosen.toSorted(({ record: a }, { record: b }) => {
      const [keyA, keyB] = [key(a), key(b)];
      if (keyA === keyB) return a.id - b.id;
      return keyA < keyB ? -sign : sign;
    });
  }

  #indexOf(vmId: number): number {
    let low = 0;
    let high = this.#ordered.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const id = this.#ordered[middle]?.record.id ?? Number.POSITIVE_INFINITY;
      if (id < vmId) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

const SORT_KEYS: Readonly<
  Record<Exclude<VmListQuery['sort'], 'created_at'>, (record: VmRecord) => string | number>
> = {
  name: (record) => record.name,
  status: (record) => record.status,
  runtime: (record) => record.runtime,
  updated_at: (record) => record.updatedAtMs,
};

function filtersOf(query: VmListQuery): readonly ((record: VmRecord) => boolean)[] {
  const filters: ((record: VmRecord) => boolean)[] = [];
  const { statuses } = query;
  if (statuses.length > 0) filters.push((record) => statuses.includes(record.status));
  const { namePrefix = '' } = query;
  if (namePrefix !== '') filters.push((record) => record.name.startsWith(namePrefix));
  const runtime = query.runtime?.toLowerCase();
  if (runtime !== undefined) filters.push((record) => record.runtime.toLowerCase() === runtime);
  const plugin = query.plugin?.toLowerCase();
  if (plugin !== undefined) filters.push((record) => record.plugin.toLowerCase() === plugin);
  const text = query.text?.toLowerCase();
  if (text !== undefined) {
    filters.push((record) =>
      [record.name, record.leases.ipAddress ?? '', record.runtime].some((value) =>
        value.toLowerCase().includes(text),
      ),
    );
  }
  return filters;
}

/** What is said of a VM beside its record. */
interface Told {
  readonly waitsFor: string | undefined;
  readonly conditions: readonly Condition[];
  readonly workload: VmWorkload | undefined;
}

function vmOf(
  record: VmRecord,
  runtimeDirectory: string,
  { waitsFor, conditions, workload }: Told,
): Vm {
  const reason = waitsFor ?? crashIn(record);
  const alive = record.process !== null;
  return {
    id: record.id,
    name: record.name,
    status: record.status,
    ...(reason === undefined ? {} : { status_reason: reason }),
    conditions: [...conditions],
    ...(workload === undefined ? {} : { workload }),
    runtime: record.runtime,
    plugin: record.plugin,
    ...(record.process === null ? {} : { pid: record.process.pid }),
    ip_address: record.leases.ipAddress ?? '',
    mac_address: record.leases.macAddress,
    vsock_cid: record.leases.vsockCid,
    cpu_cores: record.cpuCores,
    memory_mb: record.memoryMb,
    kernel_cmdline: record.kernelCmdline,
    serial_socket: alive ? `${runtimeDirectory}/${record.id}/${RUN_FILES.serial}` : '',
    created_at: toTimestamp(record.createdAtMs),
    updated_at: toTimestamp(record.updatedAtMs),
  };
}

/** How it crashed, as its last condition says. */
function crashIn({ status, conditions = [] }: VmRecord): string | undefined {
  if (status !== 'crashed') return undefined;
  return conditions.find((condition) => condition.type === 'Running')?.message;
}
