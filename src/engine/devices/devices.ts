// engine, devices: takes PCI devices for VMs and clients, and gives them back. src/host changes the drivers;
// device-rules.ts has the conditions.

import { LIMITS } from '../../config/limits.ts';
import type { Config } from '../../config.ts';
import type { Clock } from '../../lib/clock.ts';
import { toVolantError, VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { DevicesCheck } from '../../schema/vfio.ts';
import type { DeviceApi, DevicesGivenBack } from '../engine-api.ts';
import { requestIn } from '../events/cause.ts';
import type { DeviceFacts, DeviceHost } from '../ports/device-ports.ts';
import type { Cause, DeviceRecord } from '../records.ts';
import type { State } from '../state/state.ts';
import { DeviceLedger } from './device-ledger.ts';
import { lookUpDevices } from './device-lookup.ts';
import type { DeviceOwners, DevicesDemand } from './device-owners.ts';
import { DeviceQueries } from './device-queries.ts';
import { claimsOn, problemsOf, refuse } from './device-rules.ts';

const VFIO_DRIVER = 'vfio-pci';

export interface DevicesParts {
  readonly config: Pick<Config, 'vfioAllow'>;
  readonly state: State;
  readonly host: DeviceHost;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Devices implements DeviceApi, DeviceOwners {
  readonly #config: DevicesParts['config'];
  readonly #host: DeviceHost;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #ledger: DeviceLedger;
  readonly #queries: DeviceQueries;
  /** Devices that an earlier daemon had taken. */
  readonly #inherited: readonly DeviceRecord[];
  /** Settles after the last queued change. Changes run in sequence, because devices share groups. */
  #tail: Promise<unknown> = Promise.resolve();
  #queued = 0;
  #retry: NodeJS.Timeout | null = null;

  constructor(parts: DevicesParts, records: readonly DeviceRecord[]) {
    const { config, state, host, clock, log } = parts;
    this.#config = config;
    this.#host = host;
    this.#clock = clock;
    this.#log = log;
    this.#inherited = records;
    this.#ledger = new DeviceLedger(state, clock, records);
    this.#queries = new DeviceQueries(host, this.#ledger, config.vfioAllow);
  }

  info(address: string) {
    return this.#queries.info(address);
  }

  validate(check: DevicesCheck) {
    return this.#queries.validate(check);
  }

  groups(addresses: readonly string[]) {
    return this.#queries.groups(addresses);
  }

  groupPaths(addresses: readonly string[]) {
    return this.#queries.groupPaths(addresses);
  }

  bind(addresses: readonly string[], cause?: Cause): Promise<readonly string[]> {
    return this.#unlessFull(() => this.#take(null, { addresses, allowlist: [], cause }));
  }

  unbind(addresses: readonly string[], cause?: Cause): Promise<DevicesGivenBack> {
    return this.#unlessFull(async () => {
      const found = await lookUpDevices(this.#host, addresses);
      const bound = found.filter(
        ({ address, driver }) => driver === VFIO_DRIVER || this.#ledger.get(address) !== undefined,
      );
      const ownerOf = (address: string) => this.#ledger.ownerOf(address, null);
      const { vfioAllow } = this.#config;
      refuse(bound.flatMap((device) => claimsOn(device, ownerOf, vfioAllow)));
      return this.#giveBackEach(
        bound.map(({ address }) => address),
        cause,
      );
    });
  }

  async takeFor(vmId: number, demand: DevicesDemand): Promise<void> {
    if (demand.addresses.length === 0) return;
    await this.#unlessFull(() => this.#take(vmId, demand));
  }

  /** The records of a VM's devices. */
  takenFor(vmId: number): readonly DeviceRecord[] {
    return this.#ledger.ofVm(vmId);
  }

  async releaseFor(vmId: number, cause: Cause | undefined): Promise<void> {
    if (this.#ledger.ofVm(vmId).length === 0) return;
    await this.#inTurn(() => this.#letGo(this.#ledger.ofVm(vmId), cause));
  }

  /** Gives back devices that an earlier daemon left half bound, or whose VM does not exist any more. For recovery. */
  async sweep(exists: (vmId: number) => boolean): Promise<void> {
    const isDue = ({ address, vmId, state }: DeviceRecord) => {
      const known = this.#ledger.get(address);
      if (known === undefined || known.vmId !== vmId || known.state !== state) return false;
      return vmId === null ? state !== 'bound' : !exists(vmId);
    };
    await this.#inTurn(() => this.#letGo(this.#inherited.filter(isDue)));
  }

  /** Gives back all devices, also those that clients have bound. For the teardown. */
  async releaseAll(): Promise<void> {
    await this.#inTurn(() =>
      this.#letGo(this.#ledger.all().map((record) => ({ ...record, staysBound: false }))),
    );
  }

  close(): void {
    if (this.#retry !== null) clearTimeout(this.#retry);
  }

  /** Takes all devices or none. After a failure, devices and records are as before. */
  async #take(
    vmId: number | null,
    { addresses, allowlist, cause }: DevicesDemand,
  ): Promise<readonly string[]> {
    const found = await lookUpDevices(this.#host, addresses);
    const together = found.map(({ address }) => address);
    const operatorAllows = this.#config.vfioAllow;
    const ownerOf = (address: string) => this.#ledger.ownerOf(address, vmId);
    const demand = { together, operatorAllows, allowlist, ownerOf };
    refuse(found.flatMap((device) => problemsOf(device, demand)));
    const before = together.flatMap((address) => this.#ledger.get(address) ?? []);
    const records: DeviceRecord[] = [];
    for (const device of found) records.push(await this.#recordOf(device, vmId));
    await this.#ledger.put(records);
    try {
      const unbound = found.filter(({ driver }) => driver !== VFIO_DRIVER);
      for (const { address } of unbound) await this.#host.bindDevice(address);
      await this.#host.probeGroups(groupsToProbe(vmId === null ? unbound : found));
      const bound = records.map((record) => ({ ...record, state: 'bound' as const }));
      await this.#ledger.put(
        bound,
        unbound.map(({ address }) => address),
        cause,
      );
    } catch (error) {
      const facts = { devices: together, ...requestIn(cause), err: error };
      this.#log.warn(facts, 'binding failed, giving back');
      await this.#restore(together, before, cause);
      throw error;
    }
    return together;
  }

  async #recordOf(device: DeviceFacts, vmId: number | null): Promise<DeviceRecord> {
    const { address } = device;
    const known = this.#ledger.get(address);
    // A driver that the host has bound in the meantime counts more than our record.
    const isOurs = known !== undefined && ['', VFIO_DRIVER].includes(device.driver);
    return {
      address,
      // A device that was on vfio-pci before stays there when it is given back.
      formerDriver: isOurs ? known.formerDriver : device.driver,
      formerOverride: isOurs ? known.formerOverride : await this.#host.driverOverrideOf(address),
      vmId,
      staysBound: isOurs && (known.staysBound || (known.vmId === null && known.state === 'bound')),
      state: isOurs && known.state === 'bound' ? 'bound' : 'binding',
      boundAtMs: this.#clock.nowMs(),
    };
  }

  /** Devices that were bound before stay bound; the others are given back. */
  async #restore(
    addresses: readonly string[],
    before: readonly DeviceRecord[],
    cause: Cause | undefined,
  ): Promise<void> {
    const kept = before.filter(({ state }) => state === 'bound');
    const isKept = (address: string) => kept.some((record) => record.address === address);
    await this.#quietly(async () => {
      if (kept.length > 0) await this.#ledger.put(kept);
    });
    await this.#letGo(
      addresses
        .filter((address) => !isKept(address))
        .flatMap((address) => this.#ledger.get(address) ?? [])
        .map((record) => ({ ...record, staysBound: false }))
        .reverse(),
      cause,
    );
  }

  /**
   * Ends the ownership of devices. A device that a client had bound before becomes the client's again. The others are
   * given back, with retries.
   */
  async #letGo(records: readonly DeviceRecord[], cause?: Cause): Promise<void> {
    if (records.length === 0) return;
    const left = records.map((record): DeviceRecord => {
      const state = record.staysBound ? 'bound' : 'releasing';
      return { ...record, vmId: null, staysBound: false, state };
    });
    await this.#quietly(() => this.#ledger.put(left));
    const leaving = left.filter(({ state }) => state === 'releasing');
    await this.#giveBackEach(
      leaving.map(({ address }) => address),
      cause,
    );
  }

  async #giveBackEach(addresses: readonly string[], cause?: Cause): Promise<DevicesGivenBack> {
    const done: string[] = [];
    const details: Record<string, string> = {};
    let first: VolantError | null = null;
    for (const address of addresses) {
      try {
        await this.#giveBack(address, cause);
        done.push(address);
      } catch (error) {
        const facts = { device: address, ...requestIn(cause), err: error };
        this.#log.error(facts, 'a device could not be given back');
        const failure = toVolantError(error);
        first ??= failure;
        details[address] = failure.message;
      }
    }
    this.#retryLater();
    if (first === null) return { done, failure: null };
    return { done, failure: new VolantError(first.code, first.message, { details }) };
  }

  async #giveBack(address: string, cause: Cause | undefined): Promise<void> {
    const record = this.#ledger.get(address);
    // The former driver of a device without a record is unknown, so the kernel chooses.
    const former =
      record === undefined
        ? { driver: null, override: '' }
        : { driver: record.formerDriver, override: record.formerOverride };
    if (record !== undefined && record.state !== 'releasing') {
      await this.#ledger.put([{ ...record, state: 'releasing' }]);
    }
    await this.#host.releaseDevice(address, former);
    await this.#ledger.forget(address, cause);
  }

  #retryLater(): void {
    const isLeft = () => this.#ledger.all().some(({ state }) => state === 'releasing');
    if (this.#retry !== null || !isLeft()) return;
    this.#retry = setTimeout(() => {
      this.#retry = null;
      void this.#inTurn(async () => {
        const left = this.#ledger.all().filter(({ state }) => state === 'releasing');
        await this.#giveBackEach(left.map(({ address }) => address));
      });
    }, LIMITS.deviceRetryMs).unref();
  }

  /** Runs a write whose failure is tolerable, because the stored record is correct but less exact. */
  async #quietly(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      this.#log.error({ err: error }, 'the record of a device could not be updated');
    }
  }

  /**
   * Runs a requested change, or throws OVERLOADED if the queue is full. Requests can be repeated. Giving back is never
   * refused.
   */
  async #unlessFull<T>(action: () => Promise<T>): Promise<T> {
    if (this.#queued >= LIMITS.deviceChangesMax) {
      const why = 'Too many changes of devices are queued';
      throw new VolantError('OVERLOADED', why, { retryAfterSeconds: 5 });
    }
    return this.#inTurn(action);
  }

  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    this.#queued += 1;
    const turn = this.#tail.then(action).finally(() => {
      this.#queued -= 1;
    });
    this.#tail = turn.catch(() => undefined);
    return turn;
  }
}

function groupsToProbe(devices: readonly DeviceFacts[]): readonly string[] {
  return [...new Set(devices.map(({ iommuGroup }) => iommuGroup))];
}
