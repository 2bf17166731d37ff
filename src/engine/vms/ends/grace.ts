// engine, vms: the grace period of a guest: how long it gets to power off before its hypervisor gets SIGTERM. Pure.

import { LIMITS } from '../../../config/limits.ts';
import type { VmConfig } from '../../../schema/vm-config.ts';
import type { VmWanted } from '../../records.ts';

export interface GuestFacts {
  /** From the config, else the manifest; null if neither has one. */
  readonly configuredMs: number | null;
  readonly hasBooted: boolean;
  /** The guest has an agent that does not answer. */
  readonly isAgentSilent: boolean;
}

/** The grace period of the config, else of the manifest; null if neither has one. */
export function configuredGraceMs({ stop_grace_seconds, manifest }: VmConfig): number | null {
  const seconds = stop_grace_seconds ?? manifest.stop_grace_seconds;
  return seconds === undefined ? null : seconds * 1000;
}

/**
 * The grace period in ms. A delete keeps nothing of the guest, so its default is short, and 0 if no agent can receive
 * the request to power off. The period that a delete itself asks for counts first, except for a guest that is still
 * booting.
 */
export function graceMsOf({ state, graceMs = null }: VmWanted, guest: GuestFacts): number {
  const { configuredMs, hasBooted, isAgentSilent } = guest;
  if (state !== 'deleted') return graceMs ?? configuredMs ?? LIMITS.stopGraceMs;
  if (!hasBooted) return 0;
  if (graceMs !== null) return graceMs;
  return isAgentSilent ? 0 : Math.min(LIMITS.deleteGraceMs, configuredMs ?? LIMITS.deleteGraceMs);
}

/**
 * The grace period in ms of a guest that has confirmed the request to power off. On a busy host such a guest needs
 * time, so a delete gives it more.
 */
export function answeredGraceMsOf(wanted: VmWanted, guest: GuestFacts): number {
  const graceMs = graceMsOf(wanted, guest);
  if (wanted.state !== 'deleted' || typeof wanted.graceMs === 'number') return graceMs;
  const { deleteAnsweredGraceMs } = LIMITS;
  return Math.max(
    graceMs,
    Math.min(deleteAnsweredGraceMs, guest.configuredMs ?? deleteAnsweredGraceMs),
  );
}

/**
 * The part of the grace period in ms that the agent may give to the workload, so that the guest can still power off in
 * time.
 */
export function workloadGraceMsOf(graceMs: number): number {
  const { graceReserveMs, graceReserveMaxMs } = LIMITS;
  const reserveMs = Math.min(graceReserveMaxMs, Math.max(graceReserveMs, graceMs / 4));
  return Math.max(graceMs / 2, graceMs - reserveMs);
}
