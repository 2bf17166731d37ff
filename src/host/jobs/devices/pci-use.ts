// jobs, devices: finds out whether the host uses a PCI device: disks and network interfaces behind it. Only reads.

import { realpathSync } from 'node:fs';
import { join, sep } from 'node:path';
import { namesIn, textOf, unlessMissing } from '../if-present.ts';

/** Bit 0 of an interface's flags: the interface is up (linux/if.h). */
const IFF_UP = 0x1;

/** Interfaces without a device, such as the taps of guests, which change all the time. */
const VIRTUAL = 'devices/virtual';

/** Returns what uses the device, as a sentence; null when nothing does. */
export type UseOf = (deviceDirectory: string) => string | null;

/** Reads the host's disks and interfaces once, for all devices that are asked about. */
export function readUses(sysfsRoot: string): UseOf {
  const disks = classOf(sysfsRoot, 'block').flatMap((disk) => {
    const use = useOfDisk(disk);
    return use === null ? [] : [{ path: disk.path, use }];
  });
  const cards = classOf(sysfsRoot, 'net')
    .filter(({ path }) => !path.startsWith(join(sysfsRoot, VIRTUAL) + sep))
    .filter(({ path }) => (Number(textOf(join(path, 'flags')) ?? 0) & IFF_UP) !== 0)
    .map(({ name, path }) => ({ path, use: `network interface ${name} is up` }));
  const uses = [...cards, ...disks];
  return (deviceDirectory) => {
    const real = unlessMissing(() => realpathSync(deviceDirectory));
    return uses.find(({ path }) => real !== undefined && path.startsWith(real + sep))?.use ?? null;
  };
}

interface ClassMember {
  readonly name: string;
  /** Below the device that it belongs to. */
  readonly path: string;
}

function classOf(sysfsRoot: string, name: 'block' | 'net'): readonly ClassMember[] {
  const directory = join(sysfsRoot, 'class', name);
  return namesIn(directory).flatMap((member) => {
    const path = unlessMissing(() => realpathSync(join(directory, member)));
    return path === undefined ? [] : [{ name: member, path }];
  });
}

/** Whether a disk or one of its partitions is mounted, swap space, or part of something else such as a volume group. */
function useOfDisk({ name, path }: ClassMember): string | null {
  const disk = headOf(name);
  const number = disk === name ? textOf(join(path, 'dev')) : undefined;
  const holders = namesIn(join(path, 'holders'));
  if (holders.length > 0) return `disk ${disk} is a part of ${holders.join(', ')}`;
  if (mounts().some(({ device, source }) => device === number || source === `/dev/${disk}`)) {
    return `disk ${disk} is mounted`;
  }
  const swaps = (textOf('/proc/swaps') ?? '').split('\n').map((line) => line.split(/\s/)[0]);
  return swaps.includes(`/dev/${disk}`) ? `disk ${disk} is swap space` : null;
}

/** With NVMe multipath, what is below a controller is one path; the disk has another name. */
function headOf(name: string): string {
  return name.replace(/^(nvme\d+)c\d+(n\d+)/, '$1$2');
}

/**
 * Reads mounts (proc_pid_mountinfo(5)). Some file systems have device numbers of their own; their source names the
 * disk.
 */
function mounts(): readonly { readonly device: string; readonly source: string }[] {
  return (textOf('/proc/self/mountinfo') ?? '').split('\n').map((line) => {
    const fields = line.split(' ');
    return { device: fields[2] ?? '', source: fields[fields.indexOf('-') + 2] ?? '' };
  });
}
