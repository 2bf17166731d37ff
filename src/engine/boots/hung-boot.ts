// engine, boots: tells a guest that hangs in its boot from one that is slow. Under emulation a kernel may spin forever before
// its agent starts, or lose its only timer. The host sees nothing of that but the processor time of the hypervisor.

import { LIMITS } from '../../config/limits.ts';

export interface BootWatch {
  /** Processor time that the hypervisor has used since its launch, in seconds; NaN if it is unknown. */
  readonly processorSeconds: () => Promise<number>;
  /** Aborted when the guest has booted or ended, or when the daemon ends. */
  readonly signal: AbortSignal;
}

/**
 * Resolves to true when the guest has used far more processor time than a boot takes, or has not booted for very long. The first
 * bound holds on a busy host, too: a guest that gets no time uses none. Resolves to false when the signal aborts. Rejects if the
 * time cannot be read.
 */
export async function hangsInBoot({ processorSeconds, signal }: BootWatch): Promise<boolean> {
  const startedMs = performance.now();
  while (!signal.aborted) {
    const isLate = performance.now() - startedMs >= LIMITS.bootHungMs;
    if (isLate || (await processorSeconds()) >= LIMITS.bootProcessorSecondsMax) {
      return !signal.aborted;
    }
    await pauseUnlessAborted(LIMITS.bootLookMs, signal);
  }
  return false;
}

function pauseUnlessAborted(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms).unref();
    signal.addEventListener('abort', end);
  });
}
