// jobs, devices: reads PCI devices from sysfs. It reads only files that the kernel answers without locking the
// device, because that lock may never be released; see sysfs-bounded.ts. Devices are changed by pci-driver.ts.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DeviceFacts, GroupMember } from '../../../engine/ports/device-ports.ts';
import { linkTarget, namesIn, textOf } from '../if-present.ts';
import type { JobArgument } from '../protocol.ts';
import { readUses, type UseOf } from './pci-use.ts';

/** Bridges between PCI buses, ordinary ones and semi-transparent ones (PCI Code and ID Assignment, base class 06). */
const PCI_BRIDGE = /^0x06(04|09)/;

/** Returns the facts about each device. Only reads. */
export function inspectDevices({
  settings,
  addresses,
}: JobArgument<'inspectDevices'>): readonly DeviceFacts[] {
  const useOf = readUses(settings.sysfsRoot);
  return addresses.map((address) => factsOf(settings.sysfsRoot, address, useOf));
}

/** Returns the directory of a device in sysfs. */
export function deviceDirectory(sysfsRoot: string, address: string): string {
  return join(sysfsRoot, 'bus/pci/devices', address);
}

/** Returns the name of the device's driver; empty when it has none. */
export function driverOf(sysfsRoot: string, address: string): string {
  return linkTarget(join(deviceDirectory(sysfsRoot, address), 'driver'));
}

function factsOf(sysfsRoot: string, address: string, useOf: UseOf): DeviceFacts {
  const directory = deviceDirectory(sysfsRoot, address);
  const group = linkTarget(join(directory, 'iommu_group'));
  return {
    address,
    present: existsSync(join(directory, 'vendor')),
    vendor: identity(directory, 'vendor'),
    device: identity(directory, 'device'),
    driver: driverOf(sysfsRoot, address),
    iommuGroup: group,
    numaNode: textOf(join(directory, 'numa_node')) ?? '-1',
    groupMembers: group === '' ? [] : membersOf(sysfsRoot, group),
    isBridge: isBridge(directory),
    usedBy: useOf(directory) ?? useOfFunctions(sysfsRoot, directory),
  };
}

function membersOf(sysfsRoot: string, group: string): readonly GroupMember[] {
  return namesIn(join(sysfsRoot, 'kernel/iommu_groups', group, 'devices'))
    .sort()
    .map((address) => ({
      address,
      driver: driverOf(sysfsRoot, address),
      isBridge: isBridge(deviceDirectory(sysfsRoot, address)),
    }));
}

/** SR-IOV: a card and its virtual functions depend on each other. */
function useOfFunctions(sysfsRoot: string, directory: string): string | null {
  const count = namesIn(directory).filter((name) => /^virtfn\d+$/.test(name)).length;
  if (count > 0) return `it has ${count} virtual functions (sriov_numvfs)`;
  const card = linkTarget(join(directory, 'physfn'));
  if (card === '' || driverOf(sysfsRoot, card) !== 'vfio-pci') return null;
  return `its card ${card} is on vfio-pci`;
}

function isBridge(directory: string): boolean {
  return PCI_BRIDGE.test(textOf(join(directory, 'class')) ?? '');
}

/** Returns hexadecimal digits without "0x"; empty when there is no such device. */
function identity(directory: string, file: string): string {
  return (textOf(join(directory, file)) ?? '').replace(/^0x/, '').toLowerCase();
}
