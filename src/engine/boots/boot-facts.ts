// engine, boots: what is known of a guest that boots: the software that it boots, and the processor time of its hypervisor.

import type { VmConfig } from '../../schema/vm-config.ts';
import { FIGURE, type StatsHost } from '../ports/stats-ports.ts';
import type { ProcessIdentity } from '../records.ts';
import { cgroupNameOf } from '../vm-record/derived-names.ts';

/** A key of everything that decides whether the guest has an agent: kernel, command line and media. */
export function softwareKey(config: VmConfig | undefined): string {
  if (config === undefined) return '';
  const { manifest, initramfs, rootfs, kernel_override, kernel_cmdline } = config;
  const { image, image_digest } = manifest;
  const own = [initramfs, rootfs, kernel_override, kernel_cmdline];
  return JSON.stringify([manifest.initramfs, manifest.rootfs, image, image_digest, own]);
}

/**
 * Without the kernel's part: to pin the memory of a large guest takes that. In seconds, since the launch; NaN if the process is
 * gone.
 */
export async function processorSecondsOf(
  host: Pick<StatsHost, 'readVms'>,
  vmId: number,
  { pid, startTimeTicks }: ProcessIdentity,
): Promise<number> {
  const metered = { pid, startTimeTicks, tapName: null, cgroupName: cgroupNameOf(vmId) };
  const { figures } = await host.readVms([metered]);
  return figures[FIGURE.userSeconds] ?? Number.NaN;
}
