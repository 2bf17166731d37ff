// workers, job: whether the kernel hands out IOMMU groups. A hypervisor that is refused says so in words of its
// own, after its launch; here it is known before, and why.

import { native } from '../native.ts';
import type { JobArgument } from '../protocol.ts';
import { errnoOf, JobFault } from './fault.ts';

const REAL_SYSFS = '/sys';

/** Each of them could be opened by a hypervisor now. VFIO_UNAVAILABLE, DEVICE_IN_USE, GROUP_NOT_VIABLE, DEVICE_FAILED. */
export function probeGroups({ settings, groups }: JobArgument<'probeGroups'>): null {
  // The devices of another sysfs are not those that this kernel has files for.
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
    // vfio_iommu_type1 says so in the kernel log only.
    const why = `The kernel does not hand out ${name}: its IOMMU does not remap interrupts`;
    return new JobFault('VFIO_UNAVAILABLE', why, error);
  }
  if (syscall === 'open' || path === '/dev/vfio/vfio') {
    const why = `VFIO cannot be used (${path}, ${errno}): load the module vfio_iommu_type1`;
    return new JobFault('VFIO_UNAVAILABLE', why, error);
  }
  return new JobFault('DEVICE_FAILED', `The kernel does not hand out ${name} (${errno})`, error);
}
