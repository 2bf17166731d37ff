// engine, vms: the cost of a launch beside others that run at the same time, in units of the budget
// LIMITS.operationsRunningMax. Pure.

import { bootsGuests } from '../../../config/drivers.ts';
import type { VmRecord } from '../../records.ts';
import { SMALLEST_COST } from '../work-queue.ts';
import type { LaunchDraft } from './launch-planner.ts';

/** A hypervisor that loads a kernel and an initramfs. */
const GUEST_COST = 4;
/** A writable disk: its own files, and a read of its image. */
const DISK_COST = 2;
/** Host drivers are changed, and all guest memory is allocated before the hypervisor answers. */
const DEVICES_COST = 16;

/**
 * The cost of a launch. `draft` is null if the launch is not resolved yet; it then costs as much as a guest without
 * disks and devices.
 */
export function launchCostOf(
  { driver }: Pick<VmRecord, 'driver'>,
  draft: Pick<LaunchDraft, 'resolved'> | null,
): number {
  if (!bootsGuests(driver)) return SMALLEST_COST;
  const { media, spec } = draft?.resolved ?? {};
  const disks = (media?.disks ?? []).filter(({ readonly }) => !readonly).length;
  const hasDevices = spec !== undefined && spec.pciDevices.length > 0;
  return GUEST_COST + disks * DISK_COST + (hasDevices ? DEVICES_COST : 0);
}
