// engine: the one way by which state changes. A change, its leases and its events are one commit;
// memory follows when the commit is on disk, in commit order.

import { VolantError } from '../lib/errors.ts';
import type { EventLog } from './events.ts';
import type { ReadModel } from './read-model.ts';
import type { EventBody, VmRecord } from './records.ts';
import type { StorePort, Write } from './store-ports.ts';

export class State {
  readonly store: StorePort;
  readonly vms: ReadModel;
  readonly events: EventLog;

  constructor(store: StorePort, vms: ReadModel, events: EventLog) {
    this.store = store;
    this.vms = vms;
    this.events = events;
  }

  /** Resolves when everything is on disk and visible. Rejects with STORE_UNAVAILABLE; then nothing changed. */
  async commit(writes: readonly Write[], events: readonly EventBody[]): Promise<void> {
    const stored = await this.store.commit(writes, events);
    for (const write of writes) {
      if (write.table !== 'vms') continue;
      if (write.value === null) this.vms.remove(write.key);
      else this.vms.put(write.value);
    }
    this.events.append(stored);
  }

  /** The record of a name, or VM_NOT_FOUND. */
  require(name: string): VmRecord {
    const record = this.vms.recordByName(name);
    if (record === undefined) throw new VolantError('VM_NOT_FOUND', `There is no VM named ${name}`);
    return record;
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
export function removalOf(
  state: State,
  { id, leases, updatedAtMs, configVersion }: VmRecord,
): Write[] {
  const configs = state.store.configs(id, configVersion);
  const writes: Write[] = [
    { table: 'vms', key: id, value: null },
    ...configs.map(({ version }): Write => ({ table: 'configs', key: [id, version], value: null })),
  ];
  if (leases.ipAddress !== null) {
    const lease = { vmId: null, releasedAtMs: updatedAtMs };
    writes.push({ table: 'addresses', key: leases.ipAddress, value: lease });
  }
  return writes;
}
