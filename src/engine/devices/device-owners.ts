// engine, devices: what a launch needs of devices: they are taken for a VM and given back. Only types.

import type { Cause } from '../records.ts';

/** The devices that a launch needs. */
export interface DevicesDemand {
  readonly addresses: readonly string[];
  readonly allowlist: readonly string[];
  readonly cause: Cause | undefined;
}

/** Takes host devices for a VM and gives them back. */
export interface DeviceOwners {
  /** Takes all devices or none. An empty allowlist allows what the operator allows. */
  takeFor(vmId: number, demand: DevicesDemand): Promise<void>;
  /** Gives back the devices of the VM, if it has any. A device that cannot be given back stays recorded. */
  releaseFor(vmId: number, cause: Cause | undefined): Promise<void>;
}
