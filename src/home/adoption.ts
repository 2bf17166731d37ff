// home: what `--adopt-orphans` does. VMs that the records do not know are written down from what their launch left
// behind, with their plugins, devices and deployments; one that the records know by an older launch gets its process.

import { conflictIn, type FoundVm, writeOfFound, writesOfRebuilt } from '../engine/rebuilt.ts';
import {
  type DescribedVm,
  writesOfDeployments,
  writesOfDevices,
  writesOfPlugins,
} from '../engine/rebuilt-others.ts';
import type { ProcessIdentity, VmRecord } from '../engine/records.ts';
import type { Write } from '../engine/store-ports.ts';
import type { Logger } from '../lib/log.ts';
import { StartRefused } from '../lib/refusal.ts';
import type { Store } from '../store/store.ts';
import { findRemains, type Remains, readDescription, setDisksAside } from '../workers/remains.ts';
import type { HomeSettings } from './identity.ts';

/**
 * The writes; disks of which nothing else is known get another name here and now. StartRefused, before anything is
 * changed, for a VM that runs and has left no description, and for two that have one name or address.
 */
export function adoptionWrites(store: Store, settings: HomeSettings, log: Logger): Write[] {
  const nowMs = Date.now();
  const { runtimeDirectory, diskDirectory } = settings;
  const { lastVmId } = store.identity();
  const known = store.load();
  const remains = findRemains(settings);
  const unknown = remains.filter(({ vmId }) => vmId > lastVmId);
  const describe = ({ vmId, process }: Pick<Remains, 'vmId' | 'process'>): DescribedVm[] => {
    const description = readDescription(runtimeDirectory, vmId);
    return description === null ? [] : [{ process, description }];
  };
  const rebuilt = unknown.flatMap(describe);
  const isRebuilt = new Set(rebuilt.map(({ description }) => description.record.id));
  const nameless = unknown.filter(({ vmId }) => !isRebuilt.has(vmId));
  requireNobodyRuns(nameless);
  const found = remains.flatMap((left) => foundOf(store.vm(left.vmId), left.process));
  const refound = found.flatMap(({ record: { id }, process }) => describe({ vmId: id, process }));
  const writes = [
    ...rebuilt.flatMap((vm) => writesOfRebuilt(vm, known, nowMs)),
    ...found.map((vm) => writeOfFound(vm, nowMs)),
    ...writesOfPlugins(rebuilt, known),
    ...writesOfDeployments(rebuilt, known, nowMs),
    ...writesOfDevices([...rebuilt, ...refound], known),
  ];
  requireNoConflict(store, writes);
  for (const { vmId, hasDisks } of nameless) {
    if (!hasDisks) continue;
    const path = setDisksAside(diskDirectory, vmId, nowMs);
    log.warn({ vmId, path }, 'nothing is known of a VM but its disks: they were put aside');
  }
  for (const { process, description } of rebuilt) {
    const { id, name } = description.record;
    log.warn({ vm: name, id, pid: process?.pid ?? null }, 'a VM was written down anew');
  }
  for (const { table, key, value } of writes) {
    if (table !== 'plugins' && table !== 'deployments' && table !== 'devices') continue;
    if (value !== null) log.warn({ table, name: key }, 'it was written down anew');
  }
  const highest = remains.reduce((last, { vmId }) => Math.max(last, vmId), lastVmId);
  return [...writes, { table: 'meta', key: 'lastVmId', value: highest }];
}

function foundOf(record: VmRecord | undefined, process: ProcessIdentity | null): FoundVm[] {
  if (record === undefined || process === null || record.wanted.state === 'deleted') return [];
  const { pid, startTimeTicks, bootId } = record.process ?? {};
  const isSame =
    pid === process.pid && startTimeTicks === process.startTimeTicks && bootId === process.bootId;
  return isSame ? [] : [{ record, process }];
}

function requireNobodyRuns(nameless: readonly Remains[]): void {
  const running = nameless.flatMap(({ vmId, process }) =>
    process === null ? [] : `VM ${vmId} with pid ${process.pid}`,
  );
  if (running.length === 0) return;
  throw new StartRefused(
    `hypervisors run that left no description, so no records can be made of their VMs: end them first (${running.join(', ')})`,
  );
}

function requireNoConflict(store: Store, writes: readonly Write[]): void {
  const changed = writes.flatMap((write) =>
    write.table === 'vms' && write.value !== null ? [write.value] : [],
  );
  const ids = new Set(changed.map(({ id }) => id));
  const others = store.load().vms.filter(({ id }) => !ids.has(id));
  const conflict = conflictIn([...others, ...changed]);
  if (conflict === null) return;
  throw new StartRefused(`${conflict}: end the hypervisor of one and delete its run directory`);
}
