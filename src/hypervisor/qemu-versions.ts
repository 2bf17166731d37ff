// hypervisor: what differs between versions of QEMU, as data: the firmware of each machine and the options of
// machines. Pure. Which version is installed is found by the probe; the command line is made in qemu.ts.

import type { LaunchSpec } from '../engine/ports.ts';

type Machine = LaunchSpec['machine'];

export interface QemuVersion {
  /** The row holds from this version on, until the next row. */
  readonly from: readonly [major: number, minor: number];
  /** The value of -M. */
  readonly machines: Readonly<Record<Machine, string>>;
  /** The value of -bios: a file of QEMU's data directories. */
  readonly firmware: Readonly<Record<Machine, string>>;
  /** The Debian package of each firmware file, for the message when it is missing. */
  readonly firmwarePackages: Readonly<Record<string, string>>;
}

/**
 * Timers and controllers that a guest never uses are off; each costs boot time or idle time. The kernel learns of its
 * devices by ACPI: the kernel command line stays what the daemon gave.
 */
const MACHINES = {
  microvm: 'microvm,pit=off,pic=off,rtc=on,x-option-roms=off,acpi=on,auto-kernel-cmdline=off',
  q35: 'q35,sata=off,smbus=off,usb=off,vmport=off,i8042=off',
} as const;

/**
 * microvm's default firmware is SeaBIOS. Without option ROMs it finds no kernel from QEMU 8 on ("No bootable device").
 * qboot takes the kernel from fw_cfg itself and needs none.
 */
const FIRMWARE = { microvm: 'qboot.rom', q35: 'bios-256k.bin' } as const;

const PACKAGES = { 'qboot.rom': 'qemu-system-data', 'bios-256k.bin': 'seabios' } as const;

/** Oldest first: QEMU of Debian 12, Ubuntu 24.04 and Debian 13. */
export const QEMU_VERSIONS: readonly QemuVersion[] = [
  { from: [7, 2], machines: MACHINES, firmware: FIRMWARE, firmwarePackages: PACKAGES },
  { from: [8, 2], machines: MACHINES, firmware: FIRMWARE, firmwarePackages: PACKAGES },
  { from: [10, 0], machines: MACHINES, firmware: FIRMWARE, firmwarePackages: PACKAGES },
];

/** The row of a version as `qemu --version` prints it. Older ones get the first row, newer and unknown ones the last. */
export function qemuVersion(version: string): QemuVersion {
  const [first, ...others] = QEMU_VERSIONS;
  if (first === undefined) throw new Error('The table of QEMU versions is empty');
  const match = /^(\d+)\.(\d+)/.exec(version);
  const major = match === null ? Number.POSITIVE_INFINITY : Number(match[1]);
  const minor = match === null ? 0 : Number(match[2]);
  const isReached = ({ from }: QemuVersion) =>
    major > from[0] || (major === from[0] && minor >= from[1]);
  return others.findLast(isReached) ?? first;
}
