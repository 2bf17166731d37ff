// engine, state: the only way to change state. A change, its allocations and its events are one commit. Memory follows
// after the commit is on disk, in commit order.

import { VolantError } from '../../lib/errors.ts';
import type { PassFailPoint } from '../../lib/fail-points.ts';
import type { EventLog } from '../events/events.ts';
import type { StorePort, Write } from '../ports/store-ports.ts';
import type { ConfigRecord, EventBody, VmRecord } from '../records.ts';
import type { ReadModel } from './read-model.ts';

/** One change of a VM's record, with what is written in the same transaction. */
export interface VmChange {
  readonly record: VmRecord;
  readonly events: readonly EventBody[];
  /** Writes to other tables. */
  readonly writes?: readonly Write[];
}

export class State {
  readonly store: StorePort;
  readonly vms: ReadModel;
  readonly events: EventLog;
  /** By VM id: the last requested change of its record. Changes of one record run one after the other. */
  readonly #changes = new Map<number, Promise<unknown>>();

  /** VMs whose removal is being written and may not be in memory yet. */
  readonly #leaving = new Set<number>();
  readonly #pass: PassFailPoint;

  constructor(store: StorePort, vms: ReadModel, events: EventLog, pass: PassFailPoint) {
    this.#pass = pass;
    this.store = store;
    this.vms = vms;
    this.events = events;
  }

  /** Resolves when everything is on disk and visible. Rejects with STORE_UNAVAILABLE; nothing has changed then. */
  async commit(writes: readonly Write[], events: readonly EventBody[]): Promise<void> {
    const what = events[0]?.type ?? writes[0]?.table ?? 'nothing';
    const changes = writes.filter((write) => write.table === 'vms');
    for (const { key } of changes) this.vms.hold(key);
    try {
      this.#pass(`commit:${what}:before`);
      const stored = await this.store.commit(writes, events);
      this.#pass(`commit:${what}:after`);
      for (const { key, value } of changes) {
        if (value === null) this.vms.remove(key);
        else this.vms.put(value);
      }
      this.events.append(stored);
    } finally {
      for (const { key } of changes) this.vms.release(key);
    }
  }

  /**
   * Changes the record of a VM. `change` gets the record after all earlier changes. It may throw, or return null for no
   * change. Resolves to the record on disk. Throws VM_NOT_FOUND.
   */
  update(vmId: number, change: (record: VmRecord) => VmChange | null): Promise<VmRecord> {
    return this.#inTurn(vmId, async (record) => {
      const changed = change(record);
      if (changed === null) return record;
      await this.commit([putVm(changed.record), ...(changed.writes ?? [])], changed.events);
      return changed.record;
    });
  }

  /**
   * Removes everything that is stored of a VM. Its address is in quarantine from the record's `updatedAtMs` on. Throws
   * VM_NOT_FOUND.
   */
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

  /** Runs a change after the earlier ones of this VM; synchronously if there is none. */
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

  /** The record of a name. Throws VM_NOT_FOUND. */
  require(name: string): VmRecord {
    const record = this.vms.recordByName(name);
    if (record === undefined) throw new VolantError('VM_NOT_FOUND', `There is no VM named ${name}`);
    return record;
  }

  /**
   * A config of a VM. Throws VM_NOT_FOUND while the VM is being removed, because the removal is on disk before it is in
   * memory.
   */
  configOf({ id, name }: VmRecord, version: number): ConfigRecord {
    const stored = this.store.config(id, version);
    if (stored !== undefined) return stored;
    if (!this.#leaving.has(id)) throw new VolantError('INTERNAL', `VM ${name} has no config`);
    throw new VolantError('VM_NOT_FOUND', `There is no VM named ${name}`);
  }

  /** The removal of the VM is being stored. */
  isLeaving(vmId: number): boolean {
    return this.#leaving.has(vmId);
  }

  /** The record of a VM by its id; undefined if it was deleted. */
  find(vmId: number): VmRecord | undefined {
    return this.vms.record(vmId);
  }
}

/** The write of one record. */
export function putVm(record: VmRecord): Write {
  return { table: 'vms', key: record.id, value: record };
}

/**
 * The writes that remove everything of a VM; the store removes its operations with its record. Its address is in quarantine
 * from the record's `updatedAtMs` on.
 */
function removalOf(
  store: StorePort,
  { id, leases, updatedAtMs, configVersion }: VmRecord,
): Write[] {
  const configs = store.configs(id, configVersion);
  const writes: Write[] = [
    { table: 'vms', key: id, value: null },
    { table: 'results', key: id, value: null },
    ...configs.map(({ version }): Write => ({ table: 'configs', key: [id, version], value: null })),
  ];
  if (leases.ipAddress !== null) {
    const lease = { vmId: null, releasedAtMs: updatedAtMs };
    writes.push({ table: 'addresses', key: leases.ipAddress, value: lease });
  }
  return writes;
}
