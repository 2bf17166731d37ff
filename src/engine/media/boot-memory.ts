// engine: the memory that a guest needs to come up at all: a kernel that cannot hold itself and its initramfs panics,
// and a deployment would make it anew for ever.

import { VolantError } from '../../lib/errors.ts';
import type { HostFacts } from '../host-facts.ts';
import type { BootSizes } from '../media-ports.ts';
import type { HostPort } from '../ports.ts';
import type { MediaPlan } from './media-plan.ts';

const MIB = 2 ** 20;

/**
 * A kernel makes itself tables, buffers and stacks of about half its own size before the first process runs. Measured
 * with Debian's kernel 6.1 for clouds, 44.1 MiB: its first process begins with 71 MiB and an initramfs of 1.4 MiB, 73 and
 * 2.9, 103 and 18.9.
 */
const KERNEL_FACTOR = 1.55;

/**
 * The agent, the modules that it loads and a small program, and what differs from boot to boot: with an initramfs of 2.9 MiB
 * some boots find no memory with 80 MiB, and none of many with 81 to 88.
 */
const AGENT_MB = 9;

/**
 * The smallest memory of a VM, in MiB, with what each part of it is for. An initramfs is there twice for a moment: as it
 * was read, and as files. Pure.
 */
export function bootMemoryOf({ kernelBytes, initramfs }: BootSizes): {
  readonly smallestMb: number;
  /** With the agent. */
  readonly kernelMb: number;
  readonly initramfsMb: number;
} {
  const kernel = ((kernelBytes ?? 0) * KERNEL_FACTOR) / MIB;
  const files = ((initramfs?.packedBytes ?? 0) + (initramfs?.unpackedBytes ?? 0)) / MIB;
  return {
    smallestMb: Math.ceil(kernel + files + AGENT_MB),
    kernelMb: Math.ceil(kernel + AGENT_MB),
    initramfsMb: Math.ceil(files),
  };
}

export interface BootMemoryParts {
  readonly host: Pick<HostPort, 'findKernel' | 'inspectMedia' | 'measureBoot'>;
  readonly hostFacts: Pick<HostFacts, 'hypervisor'>;
  /** Leads to the root disk of a VM that has no initramfs of its own. */
  readonly bootInitramfs: string;
}

export class BootMemory {
  readonly #parts: BootMemoryParts;

  constructor(parts: BootMemoryParts) {
    this.#parts = parts;
  }

  /**
   * BODY_INVALID, about this field, when the files of a launch do not fit into the memory. `initramfsPath` is null where
   * it is not here yet.
   */
  async require(
    memoryMb: number,
    files: { readonly kernelPath: string; readonly initramfsPath: string | null },
    field: string,
  ): Promise<void> {
    const { host, hostFacts } = this.#parts;
    // The simulator boots nothing.
    if ((await hostFacts.hypervisor()).driver === 'simulator') return;
    const { smallestMb, kernelMb, initramfsMb } = bootMemoryOf(await host.measureBoot(files));
    if (memoryMb >= smallestMb) return;
    const parts = `the kernel with the agent ${kernelMb} MiB, the initramfs ${initramfsMb} MiB`;
    const details = { [field]: `must be at least ${smallestMb} for a guest to boot: ${parts}` };
    throw new VolantError('BODY_INVALID', undefined, { details });
  }

  /**
   * The same for what is not launched yet, by what is known of its files now. What is missing or may not be used is told
   * by its launch.
   */
  async requireFor(memoryMb: number, plan: MediaPlan, field: string): Promise<void> {
    const { host, hostFacts, bootInitramfs } = this.#parts;
    const { initramfs } = plan;
    const [facts, kernel, found] = await Promise.all([
      ifUsable(hostFacts.hypervisor()),
      ifUsable(
        plan.kernelPath === null ? host.findKernel() : host.inspectMedia(plan.kernelPath, null),
      ),
      initramfs?.isRemote
        ? null
        : ifUsable(host.inspectMedia(initramfs?.location ?? bootInitramfs, null)),
    ]);
    if (facts === null || kernel === null) return;
    const files = { kernelPath: kernel.realPath, initramfsPath: found?.realPath ?? null };
    await this.require(memoryMb, files, field);
  }
}

/** null for what is not there, which is no reason to refuse what is not launched yet. */
async function ifUsable<T>(found: Promise<T>): Promise<T | null> {
  try {
    return await found;
  } catch (error) {
    const isAbsent =
      error instanceof VolantError &&
      /^(MEDIA|KERNEL|HYPERVISOR)_|^HOST_PERMISSION$/.test(error.code);
    if (isAbsent) return null;
    throw error;
  }
}
