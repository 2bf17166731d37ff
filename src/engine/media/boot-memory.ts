// engine, media: the smallest memory that a guest can boot in. Without this check, a kernel that cannot hold itself and
// its initramfs panics, and a deployment would launch it forever.

import { bootsGuests } from '../../config/drivers.ts';
import { VolantError } from '../../lib/errors.ts';
import type { HostFacts } from '../facts/host-facts.ts';
import type { BootSizes, MediaHost } from '../ports/media-ports.ts';
import type { MediaPlan } from './media-plan.ts';

const MIB = 2 ** 20;

/**
 * Before the first process runs, a kernel needs about half its own size for tables, buffers and stacks. Measured with
 * Debian's cloud kernel 6.1 (44.1 MiB): its first process starts with 71 MiB and an initramfs of 1.4 MiB, with 73 MiB
 * and 2.9 MiB, and with 103 MiB and 18.9 MiB.
 */
const KERNEL_FACTOR = 1.55;

/**
 * The agent, the modules that it loads, a small program, and the variance between boots. Measured with an initramfs of
 * 2.9 MiB: some boots fail with 80 MiB, and none of many with 81 to 88 MiB.
 */
const AGENT_MB = 9;

/**
 * The smallest memory of a VM in MiB, by part. An initramfs is in memory twice while it is unpacked: packed, and as
 * files. Pure.
 */
export function bootMemoryOf({ kernelBytes, initramfs }: BootSizes): {
  readonly smallestMb: number;
  /** Including the agent. */
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
  readonly host: Pick<MediaHost, 'findKernel' | 'inspectMedia' | 'measureBoot'>;
  readonly hostFacts: Pick<HostFacts, 'hypervisor'>;
  /** The initramfs for a VM that has a root disk and no initramfs of its own. */
  readonly bootInitramfs: string;
}

export class BootMemory {
  readonly #parts: BootMemoryParts;

  constructor(parts: BootMemoryParts) {
    this.#parts = parts;
  }

  /**
   * Rejects with BODY_INVALID, which names `field`, if a guest with these files cannot boot in this memory.
   * `initramfsPath` is null if the file is not downloaded yet.
   */
  async require(
    memoryMb: number,
    files: { readonly kernelPath: string; readonly initramfsPath: string | null },
    field: string,
  ): Promise<void> {
    const { host, hostFacts } = this.#parts;
    if (!bootsGuests((await hostFacts.hypervisor()).driver)) return;
    const { smallestMb, kernelMb, initramfsMb } = bootMemoryOf(await host.measureBoot(files));
    if (memoryMb >= smallestMb) return;
    const parts = `the kernel with the agent ${kernelMb} MiB, the initramfs ${initramfsMb} MiB`;
    const details = { [field]: `must be at least ${smallestMb} for a guest to boot: ${parts}` };
    throw new VolantError('BODY_INVALID', undefined, { details });
  }

  /**
   * As `require`, for a config that is not being launched, as far as its files are known. Missing or unusable files are
   * reported by the launch.
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

/** Resolves to null if a file or program is missing, which the launch reports. */
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
