// host: the port DeviceHost: PCI devices of the host are inspected, given to guests and taken back. Each method runs
// a job of src/host/jobs/devices.

import type { DeviceHost, FormerDriver } from '../engine/ports/device-ports.ts';
import type { HostSettings, Run } from './jobs/protocol.ts';

/** Implements DeviceHost by jobs. It keeps no state. */
export class HostDevices implements DeviceHost {
  readonly #settings: HostSettings;
  readonly #run: Run;

  constructor(settings: HostSettings, run: Run) {
    this.#settings = settings;
    this.#run = run;
  }

  inspectDevices(addresses: readonly string[]) {
    return this.#run('inspectDevices', { settings: this.#settings, addresses });
  }

  driverOverrideOf(address: string) {
    return this.#run('readOverride', { settings: this.#settings, address });
  }

  async bindDevice(address: string): Promise<void> {
    await this.#run('bindDevice', { settings: this.#settings, address });
  }

  async releaseDevice(address: string, former: FormerDriver): Promise<void> {
    await this.#run('releaseDevice', { settings: this.#settings, address, former });
  }

  async probeGroups(groups: readonly string[]): Promise<void> {
    await this.#run('probeGroups', { settings: this.#settings, groups });
  }
}
