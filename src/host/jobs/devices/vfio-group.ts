// jobs, devices: checks before a launch whether the kernel lets IOMMU groups be opened, and why not. A hypervisor
// would report it later and less clearly.

import { errnoOf, JobFault } from '../fault.ts';
import { native } from '../native.ts';
import type { JobArgument } from '../protocol.ts';

const REAL_SYSFS = '/sys';

/**
 * Opens each group as a hypervisor would, and closes it. Throws VFIO_UNAVAILABLE, DEVICE_IN_USE, GROUP_NOT_VIABLE,
 * DEVICE_FAILED.
 */
export function probeGroups({ settings, groups }: JobArgument<'probeGroups'>): null {
  // Devices of another sysfs have no files in this kernel.
  if (settings.sysfsRoot !== REAL_SYSFS) return null;
  for (const group of groups) {
    try {
      native.vfioProbeGroup(`/dev/vfio/${group}`);
    } catch (error) {
      throw explained(group, error);
    }
  }
  return null;
}

function explained(group: string, error: unknown): JobFault {
  const errno = errnoOf(error) ?? '';
  const { syscall = '', path = '' } = error as { syscall?: string; path?: string };
  const name = `IOMMU group ${group}`;
  if (syscall === 'open' && path === `/dev/vfio/${group}` && errno === 'EBUSY') {
    return new JobFault('DEVICE_IN_USE', `Another program has ${name} open`, error);
  }
  if (syscall.includes('GROUP_GET_STATUS') && errno === 'EPERM') {
    const why = `The kernel does not hand out ${name}: not all of its devices are on vfio-pci`;
    return new JobFault('GROUP_NOT_VIABLE', why, error);
  }
  if (syscall.includes('SET_IOMMU') && errno === 'EPERM') {
    // vfio_iommu_type1 reports this in the kernel log only.
    const why = `The kernel does not hand out ${name}: its IOMMU does not remap interrupts`;
    return new JobFault('VFIO_UNAVAILABLE', why, error);
  }
  if (syscall === 'open' || path === '/dev/vfio/vfio') {
    const why = `VFIO cannot be used (${path}, ${errno}): load the module vfio_iommu_type1`;
    return new JobFault('VFIO_UNAVAILABLE', why, error);
  }
  return new JobFault('DEVICE_FAILED', `The kernel does not hand out ${name} (${errno})`, error);
}
