// engine: PCI devices: who has which, and the way to vfio-pci and back. How a driver is changed is the
// workers' business, what a device must be stands in device-rules.ts.

import { type Config, LIMITS } from '../config.ts';
import type { Clock } from '../lib/clock.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import {
  type DeviceInfo,
  type DevicesCheck,
  type DevicesValid,
  type IommuGroup,
  PCI_ADDRESS,
  PCI_ADDRESS_RULE,
} from '../schema/vfio.ts';
import { isAllowed, strangersIn } from './device-rules.ts';
import type { DeviceApi } from './engine-api.ts';
import { otherEvent } from './events.ts';
import type { DeviceOwners } from './launcher.ts';
import type { DeviceFacts, HostPort } from './ports.ts';
import type { DeviceRecord } from './records.ts';
import type { State } from './state.ts';

const VFIO_DRIVER = 'vfio-pci';

export interface DevicesParts {
  readonly config: Pick<Config, 'vfioAllow'>;
  readonly state: State;
  readonly host: HostPort;
  readonly clock: Clock;
  readonly log: Logger;
}

export class Devices implements DeviceApi, DeviceOwners {
  readonly #parts: DevicesParts;
  readonly #records = new Map<string, DeviceRecord>();
  /** Changes are made one after the other: a group has several devices. */
  #tail: Promise<unknown> = Promise.resolve();

  constructor(parts: DevicesParts, records: readonly DeviceRecord[]) {
    this.#parts = parts;
    for (const record of records) this.#records.set(record.address, record);
  }

  async info(address: string): Promise<DeviceInfo> {
    const [facts] = await this.#look([address], 'pci_address');
    if (facts === undefined) throw new VolantError('INTERNAL');
    return {
      address: facts.address,
      vendor: facts.vendor,
      device: facts.device,
      driver: facts.driver,
      iommu_group: facts.iommuGroup,
      numa_node: facts.numaNode,
    };
  }

  async validate({ pci_addresses, allowlist = [] }: DevicesCheck): Promise<DevicesValid> {
    const wellFormed = pci_addresses.filter((address) => PCI_ADDRESS.test(address.trim()));
    const addresses = unique(wellFormed.map(normal)).slice(0, LIMITS.devicesMax);
    const found = await this.#parts.host.inspectDevices(addresses);
    const errors = [
      ...pci_addresses
        .filter((address) => !PCI_ADDRESS.test(address.trim()))
        .map((address) => `${address.slice(0, 64)} ${PCI_ADDRESS_RULE}`),
      ...found.flatMap((device) => this.#problemsOf(device, addresses, allowlist)),
    ];
    const [message] = errors;
    if (message === undefined) return { valid: true, message: 'All devices can be handed to a VM' };
    return { valid: false, message, errors };
  }

  async groups(addresses: readonly string[]): Promise<readonly IommuGroup[]> {
    const found = await this.#look(addresses, 'pci_addresses');
    const groups = new Map<string, IommuGroup>();
    for (const device of found) {
      requireGroup(device);
      const devices = device.groupMembers.map(({ address }) => address);
      groups.set(device.iommuGroup, { id: device.iommuGroup, devices });
    }
    return [...groups.values()].sort((a, b) => Number(a.id) - Number(b.id));
  }

  bind(addresses: readonly string[]): Promise<readonly string[]> {
    return this.#inTurn(() => this.#take(addresses, null));
  }

  unbind(addresses: readonly string[]): Promise<readonly string[]> {
    return this.#inTurn(async () => {
      const found = await this.#look(addresses, 'pci_addresses');
      for (const { address } of found) this.#refuseOwned(address, null);
      const bound = found.filter(({ address, driver }) => {
        return driver === VFIO_DRIVER || this.#records.has(address);
      });
      for (const { address } of bound) await this.#giveBack(address);
      return bound.map(({ address }) => address);
    });
  }

  async groupPaths(addresses: readonly string[]): Promise<readonly string[]> {
    const found = await this.#look(addresses, 'pci_addresses');
    for (const device of found) {
      requireGroup(device);
      if (device.driver === VFIO_DRIVER) continue;
      const has = device.driver === '' ? 'no driver' : `driver ${device.driver}`;
      const why = `Device ${device.address} has ${has}, not vfio-pci`;
      throw new VolantError('DEVICE_NOT_BOUND', why);
    }
    const numbers = unique(found.map(({ iommuGroup }) => iommuGroup));
    return numbers.sort((a, b) => Number(a) - Number(b)).map((number) => `/dev/vfio/${number}`);
  }

  async takeFor(vmId: number, addresses: readonly string[]): Promise<void> {
    if (addresses.length === 0) return;
    await this.#inTurn(() => this.#take(addresses, vmId));
  }

  async releaseFor(vmId: number): Promise<void> {
    if (![...this.#records.values()].some((record) => record.vmId === vmId)) return;
    await this.#inTurn(async () => {
      for (const record of [...this.#records.values()]) {
        if (record.vmId === vmId) await this.#giveBackQuietly(record.address);
      }
    });
  }

  /** Gives back what VMs have that do not run; for recovery. */
  async sweep(isAlive: (vmId: number) => boolean): Promise<void> {
    const owners = unique([...this.#records.values()].flatMap(({ vmId }) => vmId ?? []));
    for (const vmId of owners) if (!isAlive(vmId)) await this.releaseFor(vmId);
  }

  #problemsOf(
    device: DeviceFacts,
    together: readonly string[],
    allowlist: readonly string[],
  ): readonly string[] {
    const { address } = device;
    if (!device.present) return [`Device ${address} does not exist`];
    const strangers = strangersIn(device, together).map(({ address: other }) => other);
    const owner = this.#ownerOf(address);
    const id = `${device.vendor}:${device.device}`;
    return [
      ...(isAllowed(device, allowlist)
        ? []
        : [`Device ${address} (${id}) is not in the allowlist`]),
      ...(isAllowed(device, this.#parts.config.vfioAllow)
        ? []
        : [`Device ${address} (${id}) is not in VOLANT_VFIO_ALLOW`]),
      ...(device.iommuGroup === '' ? [`Device ${address} has no IOMMU group`] : []),
      ...(strangers.length === 0
        ? []
        : [`Device ${address} shares its IOMMU group with ${strangers.join(', ')}`]),
      ...(device.usedBy === null ? [] : [`Device ${address} is in use: ${device.usedBy}`]),
      ...(owner === undefined ? [] : [`Device ${address} belongs to VM ${owner}`]),
    ];
  }

  /** All or none: what was taken before a failure is given back. */
  async #take(addresses: readonly string[], vmId: number | null): Promise<readonly string[]> {
    const found = await this.#look(addresses, 'pci_addresses');
    for (const device of found) this.#requireUsable(device, found, vmId);
    const taken: string[] = [];
    try {
      for (const device of found) {
        taken.push(device.address);
        await this.#takeOne(device, vmId);
      }
    } catch (error) {
      this.#parts.log.warn({ devices: taken, err: error }, 'binding failed, giving back');
      for (const address of taken.reverse()) await this.#giveBackQuietly(address);
      throw error;
    }
    return found.map(({ address }) => address);
  }

  async #takeOne(device: DeviceFacts, vmId: number | null): Promise<void> {
    const { address } = device;
    const known = this.#records.get(address);
    // A device that was on vfio-pci before we came stays there when it is given back.
    const formerDriver = known?.formerDriver ?? device.driver;
    await this.#put({ address, formerDriver, vmId, boundAtMs: this.#parts.clock.nowMs() });
    if (device.driver === VFIO_DRIVER) return;
    await this.#parts.host.bindDevice(address);
    await this.#tell('DEVICE_BOUND', address, 'bound');
  }

  async #giveBack(address: string): Promise<void> {
    const record = this.#records.get(address);
    await this.#parts.host.releaseDevice(address, record?.formerDriver ?? '');
    await this.#parts.state.commit(
      [{ table: 'devices', key: address, value: null }],
      [otherEvent('DEVICE_UNBOUND', { name: address, status: 'unbound' }, this.#nowMs())],
    );
    this.#records.delete(address);
  }

  async #giveBackQuietly(address: string): Promise<void> {
    try {
      await this.#giveBack(address);
    } catch (error) {
      this.#parts.log.error({ device: address, err: error }, 'a device could not be given back');
    }
  }

  #requireUsable(device: DeviceFacts, all: readonly DeviceFacts[], vmId: number | null): void {
    const { address } = device;
    this.#refuseOwned(address, vmId);
    if (!isAllowed(device, this.#parts.config.vfioAllow)) {
      const why = `Device ${address} is not in VOLANT_VFIO_ALLOW`;
      throw new VolantError('DEVICE_FORBIDDEN', why);
    }
    requireGroup(device);
    if (device.usedBy !== null) {
      throw new VolantError('DEVICE_IN_USE', `Device ${address} is in use: ${device.usedBy}`);
    }
    const strangers = strangersIn(
      device,
      all.map((other) => other.address),
    );
    if (strangers.length === 0) return;
    const names = strangers.map((other) => `${other.address} (${other.driver})`).join(', ');
    const why = `Device ${address} shares its IOMMU group with ${names}`;
    throw new VolantError('GROUP_NOT_VIABLE', why);
  }

  #refuseOwned(address: string, vmId: number | null): void {
    const record = this.#records.get(address);
    if (record === undefined || record.vmId === null || record.vmId === vmId) return;
    const why = `Device ${address} belongs to VM ${this.#ownerOf(address)}`;
    throw new VolantError('DEVICE_OWNED', why);
  }

  #ownerOf(address: string): string | undefined {
    const vmId = this.#records.get(address)?.vmId;
    if (vmId === undefined || vmId === null) return undefined;
    return this.#parts.state.find(vmId)?.name ?? `number ${vmId}`;
  }

  /** Facts of devices that exist. BODY_INVALID, DEVICE_NOT_FOUND. */
  async #look(addresses: readonly string[], field: string): Promise<readonly DeviceFacts[]> {
    const isList = field === 'pci_addresses';
    const details: Record<string, string> = {};
    for (const [index, address] of addresses.entries()) {
      if (PCI_ADDRESS.test(address.trim())) continue;
      details[isList ? `${field}[${index}]` : field] = PCI_ADDRESS_RULE;
    }
    if (addresses.length > LIMITS.devicesMax) {
      details[field] = `must have at most ${LIMITS.devicesMax} items`;
    }
    if (Object.keys(details).length > 0) {
      throw new VolantError('BODY_INVALID', undefined, { details });
    }
    const found = await this.#parts.host.inspectDevices(unique(addresses.map(normal)));
    const missing = found.find(({ present }) => !present);
    if (missing === undefined) return found;
    throw new VolantError('DEVICE_NOT_FOUND', `There is no PCI device ${missing.address}`);
  }

  async #put(record: DeviceRecord): Promise<void> {
    await this.#parts.state.commit([{ table: 'devices', key: record.address, value: record }], []);
    this.#records.set(record.address, record);
  }

  async #tell(type: 'DEVICE_BOUND', address: string, status: string): Promise<void> {
    await this.#parts.state.commit(
      [],
      [otherEvent(type, { name: address, status }, this.#nowMs())],
    );
  }

  #nowMs(): number {
    return this.#parts.clock.nowMs();
  }

  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(action);
    this.#tail = turn.catch(() => undefined);
    return turn;
  }
}

function requireGroup(device: DeviceFacts): void {
  if (device.iommuGroup !== '') return;
  const remedy = 'switch the IOMMU on in the firmware and with intel_iommu=on or amd_iommu=on';
  throw new VolantError(
    'VFIO_UNAVAILABLE',
    `Device ${device.address} has no IOMMU group: ${remedy}`,
  );
}

function normal(address: string): string {
  return address.trim().toLowerCase();
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
