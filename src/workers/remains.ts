// workers: what of VMs is on the host that the records may not know: hypervisors that live, what each launch left in its
// run directory, and disks. For starts only: everything blocks.

import { renameSync } from 'node:fs';
import { join } from 'node:path';
import type { ProcessIdentity, VmDescription } from '../engine/records.ts';
import { syncDirectory } from './jobs/durable.ts';
import { findHypervisors } from './jobs/hypervisor-processes.ts';
import { namesIn } from './jobs/if-present.ts';
import { readDescriptionText } from './jobs/run-directory.ts';

interface Directories {
  readonly runtimeDirectory: string;
  readonly diskDirectory: string;
}

/** What there is of one VM. */
export interface Remains {
  readonly vmId: number;
  /** null: no hypervisor of it lives. */
  readonly process: ProcessIdentity | null;
  readonly hasDisks: boolean;
}

/** Of every VM that has a run directory or disks, by its id. Processes are looked for among those of the host. */
export function findRemains(directories: Directories): readonly Remains[] {
  const { runtimeDirectory, diskDirectory } = directories;
  const diskIds = new Set(idsIn(diskDirectory));
  const living = new Map(
    findHypervisors(runtimeDirectory, null).map(({ vmId, identity }) => [vmId, identity]),
  );
  const ids = new Set([...idsIn(runtimeDirectory), ...diskIds, ...living.keys()]);
  return [...ids]
    .sort((a, b) => a - b)
    .map((vmId) => ({
      vmId,
      process: living.get(vmId) ?? null,
      hasDisks: diskIds.has(vmId),
    }));
}

/** Numbers of VMs that have a run directory or disks. */
export function idsOnDisk({ runtimeDirectory, diskDirectory }: Directories): readonly number[] {
  return [...idsIn(runtimeDirectory), ...idsIn(diskDirectory)];
}

/** What the last launch of a VM left; null when that is not there, or not what a daemon wrote. */
export function readDescription(runtimeDirectory: string, vmId: number): VmDescription | null {
  const text = readDescriptionText(join(runtimeDirectory, String(vmId)));
  if (text === undefined) return null;
  try {
    const description: VmDescription = JSON.parse(text);
    return description.record.id === vmId && description.config.manifest ? description : null;
  } catch (error) {
    // A host that failed in the middle of a launch leaves half of one.
    if (error instanceof SyntaxError || error instanceof TypeError) return null;
    throw error;
  }
}

/** Disks of a VM that nobody knows: under another name no VM gets them, and nothing removes them. The new path. */
export function setDisksAside(diskDirectory: string, vmId: number, nowMs: number): string {
  const aside = join(diskDirectory, `orphaned-${vmId}-${nowMs}`);
  renameSync(join(diskDirectory, String(vmId)), aside);
  syncDirectory(diskDirectory);
  return aside;
}

function idsIn(directory: string): number[] {
  return namesIn(directory)
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}
