// engine: the one way by which state changes. A change, its leases and its events are one commit;
// memory follows when the commit is on disk, in commit order.

import { LIMITS } from '../config.ts';
import { VolantError } from '../lib/errors.ts';
import type { PassFailPoint } from '../lib/fail-points.ts';
import type { EventLog } from './events.ts';
import type { ReadModel } from './read-model.ts';
import type { ConfigRecord, EventBody, VmRecord } from './records.ts';
import type { StorePort, Write } from './store-ports.ts';

/** One change of a VM's record, with what else is written down in the same transaction. */
export interface VmChange {
  readonly record: VmRecord;
  readonly events: readonly EventBody[];
  /** Of other tables. */
  readonly writes?: readonly Write[];
}

export class State {
  readonly store: StorePort;
  readonly vms: ReadModel;
  readonly events: EventLog;
  /** Changes of one VM's record come one after the other: by id, the last that was asked for. */
  readonly #changes = new Map<number, Promise<unknown>>();

  /** VMs whose removal is on its way to the disk, and from there to memory. */
  readonly #leaving = new Set<number>();
  readonly #pass: PassFailPoint;

  constructor(store: StorePort, vms: ReadModel, events: EventLog, pass: PassFailPoint) {
    this.#pass = pass;
    this.store = store;
    this.vms = vms;
    this.events = events;
  }

  /** Resolves when everything is on disk and visible. Rejects with STORE_UNAVAILABLE; then nothing changed. */
  async commit(writes: readonly Write[], events: readonly EventBody[]): Promise<void> {
    const what = events[0]?.type ?? writes[0]?.table ?? 'nothing';
    this.#pass(`commit:${what}:before`);
    const stored = await this.store.commit(writes, events);
    this.#pass(`commit:${what}:after`);
    for (const write of writes) {
      if (write.table !== 'vms') continue;
      if (write.value === null) this.vms.remove(write.key);
      else this.vms.put(write.value);
    }
    this.events.append(stored);
  }

  /**
   * Changes the record of a VM. `change` gets it as the last change left it, and may throw: then nothing is changed. Its
   * null says that there is nothing to change. Resolves with the record that is on disk. VM_NOT_FOUND.
   */
  update(vmId: number, change: (record: VmRecord) => VmChange | null): Promise<VmRecord> {
    return this.#inTurn(vmId, async (record) => {
      const changed = change(record);
      if (changed === null) return record;
      await this.commit([putVm(changed.record), ...(changed.writes ?? [])], changed.events);
      return changed.record;
    });
  }

  /** Removes all that is written down of a VM; its address rests from the record's time on. VM_NOT_FOUND. */
  remove(
    vmId: number,
    last: (record: VmRecord) => Pick<VmChange, 'record' | 'events'>,
  ): Promise<VmRecord> {
    return this.#inTurn(vmId, async (before) => {
      const { record, events } = last(before);
      this.#leaving.add(vmId);
      try {
        await this.commit(removalOf(this.store, record), events);
      } finally {
        this.#leaving.delete(vmId);
      }
      return record;
    });
  }

  /** After the change before it, if one is on its way; else in this very turn. */
  async #inTurn(vmId: number, change: (record: VmRecord) => Promise<VmRecord>): Promise<VmRecord> {
    const before = this.#changes.get(vmId);
    const changing = (async () => {
      if (before !== undefined) await before;
      const record = this.find(vmId);
      if (record === undefined) throw new VolantError('VM_NOT_FOUND', 'The VM is gone');
      return change(record);
    })();
    const settled = changing.catch(() => undefined);
    this.#changes.set(vmId, settled);
    try {
      return await changing;
    } finally {
      if (this.#changes.get(vmId) === settled) this.#changes.delete(vmId);
    }
  }

  /** The record of a name, or VM_NOT_FOUND. */
  require(name: string): VmRecord {
    const record = this.vms.recordByName(name);
    if (record === undefined) throw new VolantError('VM_NOT_FOUND', `There is no VM named ${name}`);
    return record;
  }

  /** A config of a VM. VM_NOT_FOUND for a VM that is removed in this moment: the disk knows it before memory does. */
  configOf({ id, name }: VmRecord, version: number): ConfigRecord {
    const stored = this.store.config(id, version);
    if (stored !== undefined) return stored;
    if (!this.#leaving.has(id)) throw new VolantError('INTERNAL', `VM ${name} has no config`);
    throw new VolantError('VM_NOT_FOUND', `There is no VM named ${name}`);
  }

  /** The record of a VM that an operation holds; undefined when it was deleted meanwhile. */
  find(vmId: number): VmRecord | undefined {
    return this.vms.record(vmId);
  }
}

/** The write of one record. */
export function putVm(record: VmRecord): Write {
  return { table: 'vms', key: record.id, value: record };
}

/** The writes after which nothing of a VM is left; its address rests from the record's time on. */
function removalOf(
  store: StorePort,
  { id, leases, updatedAtMs, configVersion }: VmRecord,
): Write[] {
  const configs = store.configs(id, configVersion);
  const writes: Write[] = [
    { table: 'vms', key: id, value: null },
    ...configs.map(({ version }): Write => ({ table: 'configs', key: [id, version], value: null })),
  ];
  for (const { number } of store.operations(id, LIMITS.operationsKeptPerVmMax)) {
    writes.push({ table: 'operations', key: [id, number], value: null });
  }
  if (leases.ipAddress !== null) {
    const lease = { vmId: null, releasedAtMs: updatedAtMs };
    writes.push({ table: 'addresses', key: leases.ipAddress, value: lease });
  }
  return writes;
}
