// engine, devices: the records of PCI devices that were taken from the host: for whom, and which driver each had
// before. They are on disk before a device is touched. devices.ts takes devices and gives them back.

import type { Clock } from '../../lib/clock.ts';
import { otherEvent } from '../events/events.ts';
import type { Write } from '../ports/store-ports.ts';
import type { Cause, DeviceRecord, EventBody } from '../records.ts';
import type { State } from '../state/state.ts';

export class DeviceLedger {
  readonly #state: State;
  readonly #clock: Clock;
  readonly #records = new Map<string, DeviceRecord>();

  constructor(state: State, clock: Clock, records: readonly DeviceRecord[]) {
    this.#state = state;
    this.#clock = clock;
    for (const record of records) this.#records.set(record.address, record);
  }

  get(address: string): DeviceRecord | undefined {
    return this.#records.get(address);
  }

  /** The records of all devices. */
  all(): readonly DeviceRecord[] {
    return [...this.#records.values()];
  }

  /** The records of a VM's devices. */
  ofVm(vmId: number): readonly DeviceRecord[] {
    return this.all().filter((record) => record.vmId === vmId);
  }

  /** The VM that has a device, for messages; undefined if none has it, or `except` has it. */
  ownerOf(address: string, except: number | null): string | undefined {
    const vmId = this.#records.get(address)?.vmId ?? null;
    if (vmId === null || vmId === except) return undefined;
    return `VM ${this.#state.find(vmId)?.name ?? `number ${vmId}`}`;
  }

  /** Writes records in one transaction, with an event for each device in `bound`. */
  async put(
    records: readonly DeviceRecord[],
    bound: readonly string[] = [],
    cause?: Cause,
  ): Promise<void> {
    const writes = records.map((value): Write => ({ table: 'devices', key: value.address, value }));
    const events = bound.map((address) => this.#event('DEVICE_BOUND', address, cause));
    await this.#state.commit(writes, events);
    for (const record of records) this.#records.set(record.address, record);
  }

  /** Removes the record of a device that its driver has again. */
  async forget(address: string, cause: Cause | undefined): Promise<void> {
    const event = this.#event('DEVICE_UNBOUND', address, cause);
    await this.#state.commit([{ table: 'devices', key: address, value: null }], [event]);
    this.#records.delete(address);
  }

  #event(
    type: 'DEVICE_BOUND' | 'DEVICE_UNBOUND',
    name: string,
    cause: Cause | undefined,
  ): EventBody {
    const status = type === 'DEVICE_BOUND' ? 'bound' : 'unbound';
    return otherEvent(type, { name, status }, this.#clock.nowMs(), undefined, cause);
  }
}
