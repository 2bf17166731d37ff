// hypervisor: finds the installed QEMU and the facts that a launch needs. It accesses the host only through
// DriverHost.

import { join, resolve } from 'node:path';
import type { HypervisorFacts } from '../../engine/ports/process-ports.ts';
import { VolantError } from '../../lib/errors.ts';
import type { DriverHost } from './driver.ts';
import { type QemuTraits, qemuTraits } from './qemu-quirks.ts';

const QEMU = 'qemu-system-x86_64';
const CANARY_MEMORY_MB = 128;

/** See Driver.facts. */
export function qemuFacts(host: DriverHost): HypervisorFacts {
  const executable = findQemu(host);
  const version = versionIn(host.outputOf(executable, ['--version']));
  const dataDirectories = dataDirectoriesOf(host, executable);
  const traits = qemuTraits(version);
  requireFirmware(host, traits, executable, dataDirectories);
  const argv = (kernel: string) => canaryArguments(traits.firmware.microvm, kernel);
  return {
    driver: 'qemu',
    executable,
    version,
    ...host.chooseAccelerator({ executable, version, argv }),
    tscKhz: host.tscKhz(),
    vhostVsock: host.exists('/dev/vhost-vsock'),
    dataDirectories,
  };
}

/** Reads the version from the output of QEMU or the simulator, which have the same form. */
export function versionIn(output: string): string {
  return /version (\S+)/.exec(output)?.[1] ?? 'unknown';
}

function findQemu({ choice, find, isExecutable }: DriverHost): string {
  if (typeof choice === 'object') {
    if (isExecutable(choice.path)) return choice.path;
    const message = `${choice.path} (VOLANT_HYPERVISOR) cannot be executed`;
    throw new VolantError('HYPERVISOR_MISSING', message);
  }
  const found = find(QEMU);
  if (found !== null) return found;
  const remedy = 'install the package qemu-system-x86, or run `npm run setup` or `volantd setup`';
  throw new VolantError('HYPERVISOR_MISSING', `${QEMU} is not installed: ${remedy}`);
}

/** The directories that QEMU lists itself and that exist. */
function dataDirectoriesOf(host: DriverHost, executable: string): readonly string[] {
  const lines = host.outputOf(executable, ['-L', 'help']).split('\n');
  return lines
    .filter((line) => line.startsWith('/'))
    .map((line) => resolve(line))
    .filter((directory) => host.exists(directory));
}

/** Without its firmware QEMU exits at once, or a guest hangs. So every file is checked before the first launch. */
function requireFirmware(
  host: DriverHost,
  { firmware, firmwarePackages }: QemuTraits,
  executable: string,
  directories: readonly string[],
): void {
  const isThere = (file: string) => directories.some((path) => host.exists(join(path, file)));
  const missing = Object.values(firmware).filter((file) => !isThere(file));
  if (missing.length === 0) return;
  const packages = missing.map((file) => firmwarePackages[file] ?? 'qemu-system-data');
  throw new VolantError(
    'HYPERVISOR_MISSING',
    `${executable} lacks its firmware ${missing.join(' and ')} (looked in ${directories.join(', ')}): install the package ${packages.join(' and ')}`,
  );
}

/** Without a root file system the kernel panics. With panic=-1 and -no-reboot that ends QEMU. */
function canaryArguments(firmware: string, kernel: string): readonly string[] {
  const machine = ['-M', 'microvm,acpi=on,x-option-roms=off', '-bios', firmware];
  const plain = ['-nodefaults', '-no-user-config', '-nographic', '-no-reboot', '-serial', 'stdio'];
  const guest = ['-m', String(CANARY_MEMORY_MB), '-kernel', kernel];
  const append = ['-append', 'console=ttyS0 reboot=t panic=-1'];
  return [...machine, '-accel', 'kvm', '-cpu', 'host', ...plain, ...guest, ...append];
}
