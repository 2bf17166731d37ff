// engine: what a hypervisor may take of its host beside what its guest was promised. Pure.

import { LIMITS } from '../../config.ts';
import { cgroupNameOf } from '../identity.ts';
import type { CgroupSpec } from '../ports.ts';
import type { VmRecord } from '../records.ts';

const MIB = 1024 ** 2;
/** Tables of the host, of the guest's memory and of an IOMMU: 8 bytes a page each, as a share of the memory. */
const PAGE_TABLES = 3 * (8 / 4096);

/** The guest's own share, and on top of it what emulation needs; a guest that does as it should never meets a limit. */
export function cgroupOf({ id, cpuCores, memoryMb }: VmRecord): CgroupSpec {
  return {
    name: cgroupNameOf(id),
    memoryBytesMax: (memoryMb * (1 + PAGE_TABLES) + LIMITS.hypervisorMemoryMb) * MIB,
    tasksMax: cpuCores + LIMITS.hypervisorTasksMax,
    // One more than the guest's own, for what the hypervisor does for its disks and its network.
    cpusMax: cpuCores + 1,
  };
}
