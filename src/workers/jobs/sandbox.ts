// workers: makes ready what a sandboxed hypervisor is given: its own files are its user's, images can be read by
// it, and device groups have their nodes.

import { chmodSync, chownSync, lchownSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { LIMITS } from '../../config.ts';
import type { LaunchRequest, SandboxSpec } from '../../engine/ports.ts';
import type { SandboxOptions } from '../native.ts';
import type { HostSettings } from '../protocol.ts';
import { JobFault } from './fault.ts';
import { linkTarget } from './if-present.ts';

const REAL_SYSFS = '/sys';
const OTHERS_READ = 0o004;

/** Every sandbox has them. */
const PROGRAMS = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'];

/** The sandbox, and the executable as it is called in there. */
export function makeSandbox(
  settings: HostSettings,
  request: LaunchRequest,
  spec: SandboxSpec,
): { readonly executable: string; readonly sandbox: SandboxOptions } {
  const { uid } = spec;
  const executable = resolved(request.executable);
  chownSync(request.workingDirectory, uid, uid);
  for (const path of spec.readWrite) own(path, uid);
  for (const path of spec.readOnly) admitReader(settings, path, uid);
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

/** HYPERVISOR_MISSING. */
function resolved(executable: string): string {
  try {
    return realpathSync(executable);
  } catch (error) {
    throw new JobFault('HYPERVISOR_MISSING', `${executable} is not there`, error);
  }
}

/** Its directory is the daemon's: nobody can have put a link there. */
function own(path: string, uid: number): void {
  lchownSync(path, uid, uid);
  chmodSync(path, 0o600);
}

/** What is the daemon's own is made readable: the directories above it let no other user come near. */
function admitReader({ diskDirectory, cacheDirectory }: HostSettings, path: string, uid: number) {
  if (isBelowOneOf([diskDirectory], path)) own(path, uid);
  else if (isBelowOneOf([cacheDirectory], path)) chmodSync(path, 0o644);
  else requireReadable(path, path);
}

/** MEDIA_INVALID for a file that other users than its own cannot read; `name` is the client's word for it. */
export function requireReadable(path: string, name: string): void {
  if ((statSync(path).mode & OTHERS_READ) !== 0) return;
  const why = 'cannot be read by hypervisors, which are users of their own: chmod o+r';
  throw new JobFault('MEDIA_INVALID', `${name} ${why}`);
}

/** One that was installed apart has its firmware and its libraries beside it. */
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
