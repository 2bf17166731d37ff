// engine: which overlays a VM that ran must still have. One that is missing is lost, with what the guest wrote: it is not
// made anew. Pure.

import type { VmConfig } from '../../schema/vm-config.ts';
import { type MediaPlan, mediaPlanOf, type PlannedDisk } from './media-plan.ts';

/**
 * Names of disks that every config of the VM has, on the same image: whichever was launched has made their overlays. A
 * disk that came later, or got another image, may have none yet.
 */
export function keptOverlays(plan: MediaPlan, configs: readonly VmConfig[]): ReadonlySet<string> {
  const plans = configs.map(mediaPlanOf);
  const isInAll = (disk: PlannedDisk) =>
    plans.every(({ disks }) => disks.some((other) => isSameOverlay(disk, other)));
  return new Set(plan.disks.filter(isInAll).map(({ name }) => name));
}

function isSameOverlay(one: PlannedDisk, other: PlannedDisk): boolean {
  return (
    one.name === other.name &&
    !one.readonly &&
    !other.readonly &&
    one.source.location === other.source.location &&
    one.source.checksum === other.source.checksum
  );
}
