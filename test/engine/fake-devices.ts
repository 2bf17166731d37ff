// test: the PCI devices of a host that is none, part of the stand-in for the host.

import type { DeviceFacts, FormerDriver } from '../../src/engine/ports/device-ports.ts';
import type { VolantError } from '../../src/lib/errors.ts';

const NO_DEVICE: DeviceFacts = {
  address: '',
  present: false,
  vendor: '1234',
  device: '11e8',
  driver: '',
  iommuGroup: '7',
  numaNode: '-1',
  groupMembers: [],
  isBridge: false,
  usedBy: null,
};

export class FakeDevices {
  readonly devices = new Map<string, DeviceFacts>();
  /** Name of a method of the host -> the error that it shall reject with. */
  readonly failures = new Map<string, VolantError>();

  async inspectDevices(addresses: readonly string[]): Promise<readonly DeviceFacts[]> {
    return addresses.map((address) => {
      const device = this.devices.get(address);
      if (device === undefined) return { ...NO_DEVICE, address };
      const members = [...this.devices.values()].filter(
        ({ iommuGroup }) => iommuGroup === device.iommuGroup,
      );
      return { ...device, groupMembers: device.iommuGroup === '' ? [] : members };
    });
  }

  async driverOverrideOf(): Promise<string> {
    return '';
  }

  async bindDevice(address: string): Promise<void> {
    failIn(this.failures, `bind ${address}`);
    this.#setDriver(address, 'vfio-pci');
  }

  async releaseDevice(address: string, { driver }: FormerDriver): Promise<void> {
    failIn(this.failures, `release ${address}`);
    this.#setDriver(address, driver ?? '');
  }

  async probeGroups(groups: readonly string[]): Promise<void> {
    for (const group of groups) failIn(this.failures, `probe group ${group}`);
  }

  /** Adds a device, alone in its IOMMU group unless the facts name one. */
  addDevice(facts: Partial<DeviceFacts> & { readonly address: string }): void {
    const iommuGroup = String(100 + this.devices.size);
    this.devices.set(facts.address, { ...NO_DEVICE, present: true, iommuGroup, ...facts });
  }

  #setDriver(address: string, driver: string): void {
    const device = this.devices.get(address);
    if (device !== undefined) this.devices.set(address, { ...device, driver });
  }
}

/** Where a test wants this method to fail, it does. */
export function failIn(failures: ReadonlyMap<string, VolantError>, method: string): void {
  const error = failures.get(method);
  if (error !== undefined) throw error;
}
