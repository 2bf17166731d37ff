// jobs, process: prepares the files of a sandboxed hypervisor: its own files get its user, images become readable,
// and device groups get their nodes. The sandbox itself is built by native/addon/sandbox.cc.

import { chmodSync, chownSync, lchownSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { LIMITS } from '../../../config/limits.ts';
import type { LaunchRequest, SandboxSpec } from '../../../engine/ports/process-ports.ts';
import { JobFault } from '../fault.ts';
import { linkTarget } from '../if-present.ts';
import { requireReadable } from '../media/readable.ts';
import type { SandboxOptions } from '../native.ts';
import type { HostSettings } from '../protocol.ts';

const REAL_SYSFS = '/sys';

/** Directories with programs and libraries, visible in every sandbox. */
const PROGRAMS = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'];

/** Returns the sandbox, and the executable's path inside of it. */
export function makeSandbox(
  settings: HostSettings,
  request: LaunchRequest,
  spec: SandboxSpec,
): { readonly executable: string; readonly sandbox: SandboxOptions } {
  const { uid } = spec;
  const executable = resolved(request.executable);
  chownSync(request.workingDirectory, uid, uid);
  for (const path of spec.readWrite) own(path, uid);
  for (const path of spec.readOnly) makeReadable(settings, path, uid);
  const hasDevices = spec.pciDevices.length > 0 && settings.sysfsRoot === REAL_SYSFS;
  const readOnly = [
    ...spec.readOnly,
    ...programFiles(executable),
    ...(hasDevices ? [REAL_SYSFS] : []),
  ];
  return {
    executable,
    sandbox: {
      uid,
      capabilities: [],
      hostNetwork: false,
      readOnly: readOnly.filter((path) => !isBelowOneOf(PROGRAMS, path)),
      readWrite: [request.workingDirectory, ...spec.readWrite],
      devices: [...spec.devices, ...(hasDevices ? vfioDevices(spec.pciDevices) : [])],
      tasksMax: request.cgroup.tasksMax,
      filesMax: LIMITS.hypervisorFilesMax,
      lockedBytesMax: hasDevices ? spec.lockedBytesMax : 0,
    },
  };
}

/** Resolves links. Throws HYPERVISOR_MISSING. */
function resolved(executable: string): string {
  try {
    return realpathSync.native(executable);
  } catch (error) {
    throw new JobFault('HYPERVISOR_MISSING', `${executable} is not there`, error);
  }
}

/**
 * Gives a file to the hypervisor's user. The directory belongs to the daemon, so nobody can have replaced the file by
 * a link.
 */
function own(path: string, uid: number): void {
  lchownSync(path, uid, uid);
  chmodSync(path, 0o600);
}

/** Makes the daemon's own files readable for the hypervisor's user. The directories above keep other users out. */
function makeReadable({ diskDirectory, cacheDirectory }: HostSettings, path: string, uid: number) {
  if (isBelowOneOf([diskDirectory], path)) own(path, uid);
  else if (isBelowOneOf([cacheDirectory], path)) chmodSync(path, 0o644);
  else requireReadable(path, path);
}

/** A QEMU that was installed in a directory of its own has its firmware and libraries beside it. */
function programFiles(executable: string): string[] {
  if (isBelowOneOf(PROGRAMS, executable)) return [];
  const prefix = dirname(dirname(executable));
  const beside = ['share/qemu', 'lib'].map((name) => join(prefix, name));
  const isInstalled = dirname(executable) === join(prefix, 'bin');
  const exists = (path: string) => statSync(path, { throwIfNoEntry: false })?.isDirectory();
  return [executable, ...(isInstalled ? beside.filter(exists) : [])];
}

function vfioDevices(addresses: readonly string[]): string[] {
  const groups = addresses.map((address) =>
    linkTarget(join(REAL_SYSFS, 'bus/pci/devices', address, 'iommu_group')),
  );
  return ['/dev/vfio/vfio', ...new Set(groups.map((group) => `/dev/vfio/${group}`))];
}

function isBelowOneOf(directories: readonly string[], path: string): boolean {
  return directories.some((directory) => path.startsWith(directory + sep));
}
