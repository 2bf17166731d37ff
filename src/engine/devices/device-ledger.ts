// engine: which PCI devices we have taken from the host, for whom, and what driver each had. It is on disk before
// anything is touched. Taking and giving back is in devices.ts.

import type { Clock } from '../../lib/clock.ts';
import { otherEvent } from '../events.ts';
import type { Cause, DeviceRecord, EventBody } from '../records.ts';
import type { State } from '../state.ts';
import type { Write } from '../store-ports.ts';

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

  all(): readonly DeviceRecord[] {
    return [...this.#records.values()];
  }

  ofVm(vmId: number): readonly DeviceRecord[] {
    return this.all().filter((record) => record.vmId === vmId);
  }

  /** The VM that has a device, in words; undefined when none has, or `except` has. */
  ownerOf(address: string, except: number | null): string | undefined {
    const vmId = this.#records.get(address)?.vmId ?? null;
    if (vmId === null || vmId === except) return undefined;
    return `VM ${this.#state.find(vmId)?.name ?? `number ${vmId}`}`;
  }

  /** All in one transaction. `bound` names those that are news to whoever follows the events. */
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

  /** The device has its driver again. */
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
