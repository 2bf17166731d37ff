// engine, vms: groups an inventory of the host by VM id. Pure, and linear in the size of the inventory.

import type { HostInventory } from '../../ports/process-ports.ts';
import type { ProcessIdentity } from '../../records.ts';
import { vmIdOfCgroup, vmIdOfTap } from '../../vm-record/derived-names.ts';

/** What the host has of one VM. */
export interface Leftovers {
  readonly processes: ProcessIdentity[];
  readonly tapNames: string[];
  readonly cgroupNames: string[];
  hasRunDirectory: boolean;
  hasDisks: boolean;
}

/** Each item of the inventory is in exactly one entry. */
export function leftoversIn(inventory: HostInventory): Map<number, Leftovers> {
  const all = new Map<number, Leftovers>();
  const of = (vmId: number): Leftovers => {
    const known = all.get(vmId);
    if (known !== undefined) return known;
    const nothing = { hasRunDirectory: false, hasDisks: false };
    const leftovers = { processes: [], tapNames: [], cgroupNames: [], ...nothing };
    all.set(vmId, leftovers);
    return leftovers;
  };
  for (const { vmId, identity } of inventory.processes) of(vmId).processes.push(identity);
  for (const name of inventory.tapNames) of(vmIdOfTap(name)).tapNames.push(name);
  for (const name of inventory.cgroupNames) of(vmIdOfCgroup(name)).cgroupNames.push(name);
  for (const vmId of inventory.runDirectoryIds) of(vmId).hasRunDirectory = true;
  for (const vmId of inventory.diskDirectoryIds) of(vmId).hasDisks = true;
  return all;
}

/** The number of kernel objects of a VM; files do not count. */
export function kernelCountOf({ processes, tapNames, cgroupNames }: Leftovers): number {
  return processes.length + tapNames.length + cgroupNames.length;
}
