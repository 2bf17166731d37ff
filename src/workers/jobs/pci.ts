// workers, job: PCI devices as sysfs shows them. Only reads; what changes a device is in pci-driver.ts.

import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { DeviceFacts, GroupMember } from '../../engine/ports.ts';
import type { JobArgument } from '../protocol.ts';
import { errnoOf } from './fault.ts';

export function inspectDevices({
  settings,
  addresses,
}: JobArgument<'inspectDevices'>): readonly DeviceFacts[] {
  return addresses.map((address) => factsOf(settings.sysfsRoot, address));
}

export function deviceDirectory(sysfsRoot: string, address: string): string {
  return join(sysfsRoot, 'bus/pci/devices', address);
}

/** Name of the driver that has the device; empty when none has. */
export function driverOf(sysfsRoot: string, address: string): string {
  return linkTarget(join(deviceDirectory(sysfsRoot, address), 'driver'));
}

function factsOf(sysfsRoot: string, address: string): DeviceFacts {
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
    usedBy: useOf(directory),
  };
}

function membersOf(sysfsRoot: string, group: string): readonly GroupMember[] {
  return namesIn(join(sysfsRoot, 'kernel/iommu_groups', group, 'devices'))
    .sort()
    .map((address) => ({
      address,
      driver: driverOf(sysfsRoot, address),
      // Base class 06: bridges do not take part in DMA and stay with their driver.
      isBridge: (textOf(join(deviceDirectory(sysfsRoot, address), 'class')) ?? '').startsWith(
        '0x06',
      ),
    }));
}

/** A network interface that is up, or a disk of which something is mounted: the host needs it. null: nobody does. */
function useOf(directory: string): string | null {
  for (const name of namesIn(join(directory, 'net'))) {
    if (textOf(join(directory, 'net', name, 'operstate')) === 'up')
      return `network interface ${name}`;
  }
  const disks = [
    ...namesIn(join(directory, 'block')),
    ...namesIn(join(directory, 'nvme')).flatMap((controller) =>
      namesIn(join(directory, 'nvme', controller)).filter((name) => /^nvme\d+n\d+$/.test(name)),
    ),
    ...virtioDisks(directory),
  ];
  const mounts = textOf('/proc/mounts') ?? '';
  const mounted = disks.find((disk) => new RegExp(`^/dev/${disk}(p?\\d+)? `, 'm').test(mounts));
  return mounted === undefined ? null : `mounted disk ${mounted}`;
}

function virtioDisks(directory: string): readonly string[] {
  return namesIn(directory)
    .filter((name) => /^virtio\d+$/.test(name))
    .flatMap((name) => namesIn(join(directory, name, 'block')));
}

/** Hexadecimal digits without "0x"; empty when there is no such device. */
function identity(directory: string, file: string): string {
  return (textOf(join(directory, file)) ?? '').replace(/^0x/, '').toLowerCase();
}

function textOf(path: string): string | undefined {
  return unlessMissing(() => readFileSync(path, 'utf8').trim());
}

function linkTarget(path: string): string {
  return unlessMissing(() => basename(readlinkSync(path))) ?? '';
}

function namesIn(directory: string): string[] {
  return unlessMissing(() => readdirSync(directory)) ?? [];
}

function unlessMissing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ENODEV'].includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
}
