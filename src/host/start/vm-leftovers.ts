// host, start: what exists on the host of VMs that the records may not know: running hypervisors, run directories and
// disks. Only for the start of the daemon: everything here blocks.

import { renameSync } from 'node:fs';
import { join } from 'node:path';
import type { ProcessIdentity, VmDescription } from '../../engine/records.ts';
import { syncDirectory } from '../jobs/durable.ts';
import { namesIn } from '../jobs/if-present.ts';
import { findHypervisors } from '../jobs/process/hypervisor-processes.ts';
import { readDescriptionText } from '../jobs/process/run-directory.ts';

interface Directories {
  readonly runtimeDirectory: string;
  readonly diskDirectory: string;
}

/** What exists of one VM. */
export interface VmLeftovers {
  readonly vmId: number;
  /** null: it has no running hypervisor. */
  readonly process: ProcessIdentity | null;
  readonly hasDisks: boolean;
}

/**
 * Finds every VM that has a run directory, disks or a running hypervisor, sorted by id. Searches the host's
 * processes.
 */
export function findLeftovers(directories: Directories): readonly VmLeftovers[] {
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

/** Returns the ids of VMs that have a run directory or disks. */
export function idsOnDisk({ runtimeDirectory, diskDirectory }: Directories): readonly number[] {
  return [...idsIn(runtimeDirectory), ...idsIn(diskDirectory)];
}

/** Reads the description that the last launch of a VM wrote. null: it is missing, or no daemon wrote it. */
export function readDescription(runtimeDirectory: string, vmId: number): VmDescription | null {
  const text = readDescriptionText(join(runtimeDirectory, String(vmId)));
  if (text === undefined) return null;
  try {
    const description: VmDescription = JSON.parse(text);
    return description.record.id === vmId && description.config.manifest ? description : null;
  } catch (error) {
    // A host failure during a launch leaves an incomplete file.
    if (error instanceof SyntaxError || error instanceof TypeError) return null;
    throw error;
  }
}

/**
 * Renames the disks of an unknown VM, so that no other VM gets them and no sweep removes them. Returns the new path.
 */
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
