// host: how much memory and how many processors the daemon and its VMs may use. A container or a service may have
// less than the machine.

import { availableParallelism, totalmem } from 'node:os';

const MIB = 2 ** 20;

/**
 * Returns a function that reads the current size from the kernel. The limit of a container is read once, because it
 * comes from files.
 */
export function hostSizeReader(): () => { readonly memoryMb: number; readonly cpuCores: number } {
  // 0 or undefined means no limit. Some kernels report more memory than there is.
  const bound = process.constrainedMemory() || Number.POSITIVE_INFINITY;
  return () => ({
    memoryMb: Math.floor(Math.min(totalmem(), bound) / MIB),
    cpuCores: availableParallelism(),
  });
}
