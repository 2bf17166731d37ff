// engine: what a PCI device must be to be handed to a VM. Pure: from facts to words.

import type { DeviceFacts, GroupMember } from './ports.ts';

/** Drivers that leave a device to others: its group is usable all the same. */
const HARMLESS_DRIVERS = ['', 'vfio-pci', 'pci-stub', 'pcieport'];

/** `vvvv:dddd` and `vvvv:*` are compared with the ids, anything else with the address. Empty allows all. */
export function isAllowed(device: DeviceFacts, patterns: readonly string[]): boolean {
  if (patterns.length === 0) return true;
  return patterns
    .map((pattern) => pattern.trim().toLowerCase())
    .some(
      (pattern) =>
        pattern === device.address ||
        pattern === `${device.vendor}:${device.device}` ||
        pattern === `${device.vendor}:*`,
    );
}

/** Other devices of the group that a host driver has: VFIO gives out whole groups only. */
export function strangersIn(
  device: DeviceFacts,
  together: readonly string[],
): readonly GroupMember[] {
  return device.groupMembers.filter(
    ({ address, driver, isBridge }) =>
      !isBridge && !together.includes(address) && !HARMLESS_DRIVERS.includes(driver),
  );
}
