// engine, vms: what a launch costs the host beside others that run at the same time, in units of the budget
// LIMITS.operationsRunningMax. Pure.

import type { VmRecord } from '../records.ts';
import type { LaunchDraft } from './launch-planner.ts';

/** A process and a tap; also any work on a VM that is no launch. */
export const SMALLEST_COST = 1;
/** A hypervisor that loads a kernel and an initramfs. */
const GUEST_COST = 4;
/** A disk that is made for it: files of their own, and a look into an image. */
const DISK_COST = 2;
/** Drivers are changed, and all of the guest's memory is made before the hypervisor answers. */
const DEVICES_COST = 16;

/** `draft` is null where the launch was not resolved yet: then it counts as that of a guest without disks and devices. */
export function launchCostOf(
  { driver }: Pick<VmRecord, 'driver'>,
  draft: Pick<LaunchDraft, 'resolved'> | null,
): number {
  if (driver === 'simulator') return SMALLEST_COST;
  const { media, spec } = draft?.resolved ?? {};
  const disks = (media?.disks ?? []).filter(({ readonly }) => !readonly).length;
  const hasDevices = spec !== undefined && spec.pciDevices.length > 0;
  return GUEST_COST + disks * DISK_COST + (hasDevices ? DEVICES_COST : 0);
}
