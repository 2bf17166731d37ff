// engine: what the hypervisor of one launch needs of the host's files and devices. Pure. Whatever is not named here
// does not exist for it.

import { firstUidOf } from '../../config/readers.ts';
import { type Config, LIMITS } from '../../config.ts';
import { hypervisorUidOf } from '../identity.ts';
import type { HypervisorFacts, LaunchSpec, SandboxSpec } from '../ports.ts';

const MIB = 1024 ** 2;

/** null where the operator has chosen that hypervisors are not isolated. */
export function sandboxOf(
  config: Pick<Config, 'isolation' | 'uidBase' | 'hostTag'>,
  spec: LaunchSpec,
  facts: HypervisorFacts,
): SandboxSpec | null {
  if (config.isolation === 'off') return null;
  const { disks, pciDevices } = spec;
  const bases = disks.flatMap(({ basePath }) => basePath ?? []);
  const images = disks.flatMap(({ path, readonly }) => (readonly ? [path] : []));
  const bootFiles = [spec.kernelPath, ...(spec.initramfsPath === null ? [] : [spec.initramfsPath])];
  const hasDevices = pciDevices.length > 0;
  return {
    uid: hypervisorUidOf(firstUidOf(config, LIMITS.hypervisorUidsMax), spec.vmId),
    readOnly: [...new Set([...bootFiles, ...bases, ...images])],
    readWrite: disks.flatMap(({ path, readonly }) => (readonly ? [] : [path])),
    devices: [
      ...(facts.accelerator === 'kvm' ? ['/dev/kvm'] : []),
      ...(spec.vsockCid === null ? [] : ['/dev/vhost-vsock']),
    ],
    pciDevices,
    // All memory of a guest that has devices is pinned, and no capability lifts the limit.
    lockedBytesMax: hasDevices ? (spec.memoryMb + LIMITS.hypervisorPinnedMb) * MIB : 0,
  };
}
