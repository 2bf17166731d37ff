// workers: what the host has for the daemon and its VMs: a container or a service may have less than the machine.

import { availableParallelism, totalmem } from 'node:os';

const MIB = 2 ** 20;

/** Asked of the kernel at each call; the bound of a container once, since it is read from files. */
export function hostSizeReader(): () => { readonly memoryMb: number; readonly cpuCores: number } {
  // 0 or undefined where there is none, and more than there is on some kernels.
  const bound = process.constrainedMemory() || Number.POSITIVE_INFINITY;
  return () => ({
    memoryMb: Math.floor(Math.min(totalmem(), bound) / MIB),
    cpuCores: availableParallelism(),
  });
}
