// engine, media: which overlays a VM has, and which it must still have. Overlays are recorded when they are made. So an
// overlay that is missing is known to be lost with the guest's data, and is not made again. Pure.

import type { VmConfig } from '../../schema/vm-config.ts';
import type { MadeOverlay, ProvidedDisk } from '../ports/media-ports.ts';
import type { OverlayRecord, VmRecord } from '../records.ts';
import { type MediaPlan, mediaPlanOf, type PlannedDisk } from './media-plan.ts';

/**
 * The overlays that were made for the disks of a plan, by name. Records of earlier versions do not list them. For
 * those, a disk that every config of the VM has on the same image must have an overlay; one that was added or changed
 * later may have none yet.
 */
export function madeOverlays(
  { neverRan, overlays }: Pick<VmRecord, 'neverRan' | 'overlays'>,
  plan: MediaPlan,
  configs: () => readonly VmConfig[],
): ReadonlyMap<string, MadeOverlay> {
  if (overlays !== undefined) {
    return new Map(
      overlays.map(({ name, location, checksum, sizeBytes }) => [
        name,
        { reference: { location, checksum }, sizeBytes },
      ]),
    );
  }
  if (neverRan || plan.disks.length === 0) return new Map();
  const plans = configs().map(mediaPlanOf);
  const isInAll = (disk: PlannedDisk) =>
    plans.every(({ disks }) => disks.some((other) => isSameOverlay(disk, other)));
  return new Map(
    plan.disks
      .filter(isInAll)
      .map(({ name, source: { location, checksum } }) => [
        name,
        { reference: { location, checksum }, sizeBytes: 0 },
      ]),
  );
}

/**
 * The overlays of a VM after these disks were provided. Overlays of disks that the VM does not have at present stay
 * recorded, in case the disks return.
 */
export function overlaysWith(
  before: readonly OverlayRecord[],
  disks: readonly PlannedDisk[],
  provided: readonly ProvidedDisk[],
): readonly OverlayRecord[] {
  const byName = new Map(before.map((overlay) => [overlay.name, overlay]));
  for (const [index, { name, readonly, source }] of disks.entries()) {
    const { location, checksum } = source;
    const old = byName.get(name);
    if (!readonly) {
      const sizeBytes = provided[index]?.sizeBytes ?? 0;
      byName.set(name, { name, location, checksum, sizeBytes });
    } else if (old?.location !== location || old.checksum !== checksum) {
      // A read-only disk with another image has taken its name.
      byName.delete(name);
    }
  }
  return [...byName.values()];
}

/** Whether two lists are equal. */
export function areSameOverlays(
  one: readonly OverlayRecord[],
  other: readonly OverlayRecord[],
): boolean {
  return (
    one.length === other.length &&
    one.every((overlay, index) => {
      const same = other[index];
      return (
        overlay.name === same?.name &&
        overlay.location === same.location &&
        overlay.checksum === same.checksum &&
        overlay.sizeBytes === same.sizeBytes
      );
    })
  );
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
