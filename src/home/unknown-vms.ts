// home: detects VMs whose ids the records never assigned. Otherwise new VMs would get these ids, with their run
// directories and disks.

import { findLeftovers, idsOnDisk } from '../host/start/vm-leftovers.ts';
import { StartRefused } from '../lib/refusal.ts';
import type { StateIdentity } from '../store/store.ts';
import type { HomeSettings } from './home-settings.ts';

/** Maximum number of VMs that a message names. */
const NAMED_MAX = 10;

/** Throws StartRefused when a VM runs or has disks whose id these records never assigned. */
export function requireKnownVms(settings: HomeSettings, known: StateIdentity): void {
  const isUnknown = (vmId: number) => vmId > known.lastVmId;
  if (known.hasVms && !idsOnDisk(settings).some(isUnknown)) return;
  const unknown = findLeftovers(settings).filter(
    ({ vmId, process, hasDisks }) => isUnknown(vmId) && (process !== null || hasDisks),
  );
  if (unknown.length === 0) return;
  const living = unknown.filter(({ process }) => process !== null);
  const { statePath, runtimeDirectory, diskDirectory } = settings;
  const ended = unknown.filter(({ process }) => process === null);
  const found = [
    living.length === 0 ? [] : `hypervisors run in ${runtimeDirectory} (${idsOf(living)})`,
    ended.length === 0 ? [] : `disks are in ${diskDirectory} (${idsOf(ended)})`,
  ].flat();
  throw new StartRefused(
    `the records in ${statePath} do not know all VMs: ${found.join(', ')}: restore a newer backup with volantd --restore FILE, or make new records of them with volantd --adopt-orphans`,
  );
}

function idsOf(leftovers: readonly { readonly vmId: number }[]): string {
  const named = leftovers.slice(0, NAMED_MAX).map(({ vmId }) => vmId);
  const others = leftovers.length - named.length;
  return `VM ${named.join(', ')}${others > 0 ? ` and ${others} more` : ''}`;
}
