// engine, vms: how long a guest gets to power off before its hypervisor is ended. Pure.

import { LIMITS } from '../../config.ts';
import type { VmConfig } from '../../schema/vm-config.ts';
import type { VmWanted } from '../records.ts';

export interface GuestFacts {
  /** Its config's and manifest's word. */
  readonly configuredMs: number | null;
  readonly hasBooted: boolean;
  /** It has an agent that does not answer. */
  readonly isDeaf: boolean;
}

/** What config, else manifest, say; null when neither does. */
export function configuredGraceMs({ stop_grace_seconds, manifest }: VmConfig): number | null {
  const seconds = stop_grace_seconds ?? manifest.stop_grace_seconds;
  return seconds === undefined ? null : seconds * 1000;
}

/**
 * A delete keeps nothing of the guest: it takes little time, and none where nobody can hear the request to power off.
 * What its own request says counts more than that, but not for a guest that still boots.
 */
export function graceMsOf({ state, graceMs = null }: VmWanted, guest: GuestFacts): number {
  const { configuredMs, hasBooted, isDeaf } = guest;
  if (state !== 'deleted') return graceMs ?? configuredMs ?? LIMITS.stopGraceMs;
  if (!hasBooted) return 0;
  if (graceMs !== null) return graceMs;
  return isDeaf ? 0 : Math.min(LIMITS.deleteGraceMs, configuredMs ?? LIMITS.deleteGraceMs);
}

/** The same for a guest that has accepted to power off: on a busy host it needs time, not another reason to. */
export function answeredGraceMsOf(wanted: VmWanted, guest: GuestFacts): number {
  const graceMs = graceMsOf(wanted, guest);
  if (wanted.state !== 'deleted' || typeof wanted.graceMs === 'number') return graceMs;
  const { deleteAnsweredGraceMs } = LIMITS;
  return Math.max(
    graceMs,
    Math.min(deleteAnsweredGraceMs, guest.configuredMs ?? deleteAnsweredGraceMs),
  );
}

/** What the guest's agent may give the workload, so that the guest itself still powers off in time. */
export function workloadGraceMsOf(graceMs: number): number {
  return Math.max(graceMs / 2, graceMs - LIMITS.graceReserveMs);
}
