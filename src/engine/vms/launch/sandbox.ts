// engine, vms: which files and devices of the host the hypervisor of one launch may see. Anything not named here is
// invisible to it. Pure.

import { LIMITS } from '../../../config/limits.ts';
import { firstUidOf } from '../../../config/readers.ts';
import type { Config } from '../../../config.ts';
import type { LaunchSpec } from '../../ports/hypervisor-ports.ts';
import type { HypervisorFacts, SandboxSpec } from '../../ports/process-ports.ts';
import { hypervisorUidOf } from '../../vm-record/derived-names.ts';

const MIB = 1024 ** 2;

/** null if the operator has turned isolation off. */
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
    // All memory of a guest with host devices is pinned, and no capability lifts that limit.
    lockedBytesMax: hasDevices ? (spec.memoryMb + LIMITS.hypervisorPinnedMb) * MIB : 0,
  };
}
