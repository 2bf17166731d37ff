// engine: which overlays a VM has, and which it must still have. What was made is in its record, so that one that is
// missing is known to be lost, with what the guest wrote: it is not made anew. Pure.

import type { VmConfig } from '../../schema/vm-config.ts';
import type { MadeOverlay, ProvidedDisk } from '../media-ports.ts';
import type { OverlayRecord, VmRecord } from '../records.ts';
import { type MediaPlan, mediaPlanOf, type PlannedDisk } from './media-plan.ts';

/**
 * The overlays that were made for the disks of a plan, by their names. Records of an earlier version of this program do
 * not say it: what every config of the VM has on the same image was made by whichever was launched. A disk that came
 * later, or got another image, may have none yet.
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
 * The overlays of a VM after these disks were provided. Those of disks that it does not have at present stay, in case
 * that it gets them back.
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
      // Another image under its name has taken its place.
      byName.delete(name);
    }
  }
  return [...byName.values()];
}

/** Whether two lists say the same. */
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
