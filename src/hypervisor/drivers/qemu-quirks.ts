// hypervisor: the firmware and the options of each machine of QEMU, and how they differ between versions. Pure.
// qemu-command.ts builds the command line.

import type { LaunchSpec } from '../../engine/ports/hypervisor-ports.ts';
import { type Quirk, traitsOf } from './quirks.ts';

type Machine = LaunchSpec['machine'];

export interface QemuTraits {
  /** The value of -M. */
  readonly machines: Readonly<Record<Machine, string>>;
  /** The value of -bios: a file of QEMU's data directories. */
  readonly firmware: Readonly<Record<Machine, string>>;
  /** The Debian package of each firmware file, for the message when it is missing. */
  readonly firmwarePackages: Readonly<Record<string, string>>;
}

/**
 * Timers and controllers that a guest never uses are off, because each costs boot time or idle time. The kernel finds
 * its devices by ACPI, so the kernel command line stays as the daemon set it.
 */
const MACHINES = {
  microvm:
    'microvm,pit=off,pic=off,rtc=on,x-option-roms=off,acpi=on,pcie=on,auto-kernel-cmdline=off',
  q35: 'q35,sata=off,smbus=off,usb=off,vmport=off,i8042=off',
} as const;

/** Tested with QEMU 7.2 (Debian 12), 8.2 (Ubuntu 24.04) and 10.0 (Debian 13). */
export const QEMU_TRAITS: QemuTraits = {
  machines: MACHINES,
  // microvm's default firmware is SeaBIOS. Without option ROMs it finds no kernel from QEMU 8 on ("No bootable device").
  // qboot takes the kernel from fw_cfg itself and needs none.
  firmware: { microvm: 'qboot.rom', q35: 'bios-256k.bin' },
  firmwarePackages: { 'qboot.rom': 'qemu-system-data', 'bios-256k.bin': 'seabios' },
};

/** Differences from the traits above, by version. The tested versions have none. */
export const QEMU_QUIRKS: readonly Quirk<QemuTraits>[] = [];

/** Returns the traits of a version as `qemu --version` prints it. */
export const qemuTraits = (version: string): QemuTraits =>
  traitsOf(QEMU_TRAITS, QEMU_QUIRKS, version);
