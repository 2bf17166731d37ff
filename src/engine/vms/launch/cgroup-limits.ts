// engine, vms: the cgroup limits of a hypervisor. Pure.

import { LIMITS } from '../../../config/limits.ts';
import type { CgroupSpec } from '../../ports/process-ports.ts';
import type { VmRecord } from '../../records.ts';
import { cgroupNameOf } from '../../vm-record/derived-names.ts';

const MIB = 1024 ** 2;
/** Page tables of the host, of the guest's memory and of an IOMMU: 8 bytes a page each, as a share of the memory. */
const PAGE_TABLES = 3 * (8 / 4096);

/** The guest's share plus what emulation needs. A guest that behaves never reaches a limit. */
export function cgroupOf({ id, cpuCores, memoryMb }: VmRecord): CgroupSpec {
  return {
    name: cgroupNameOf(id),
    memoryBytesMax: (memoryMb * (1 + PAGE_TABLES) + LIMITS.hypervisorMemoryMb) * MIB,
    tasksMax: cpuCores + LIMITS.hypervisorTasksMax,
    // One more than the guest has, for the hypervisor's own work on disks and network.
    cpusMax: cpuCores + 1,
  };
}
