// home: implements `--adopt-orphans`. VMs that the records do not contain are recorded from what their launch left,
// with their plugins, devices and deployments. A VM that the records know by an older launch gets its current
// process.

import type { Write } from '../engine/ports/store-ports.ts';
import type { ProcessIdentity, VmRecord } from '../engine/records.ts';
import {
  conflictIn,
  type FoundVm,
  writeOfFound,
  writesOfRebuilt,
} from '../engine/state/rebuilt.ts';
import {
  type DescribedVm,
  writesOfDeployments,
  writesOfDevices,
  writesOfPlugins,
} from '../engine/state/rebuilt-others.ts';
import {
  findLeftovers,
  readDescription,
  setDisksAside,
  type VmLeftovers,
} from '../host/start/vm-leftovers.ts';
import type { Logger } from '../lib/log/log.ts';
import { StartRefused } from '../lib/refusal.ts';
import type { Store } from '../store/store.ts';
import type { HomeSettings } from './home-settings.ts';

/**
 * Returns the writes that record them. Disks without any description are renamed immediately. Throws StartRefused,
 * before any change, for a VM that runs without a description, and for two VMs with the same name or address.
 */
export function adoptionWrites(store: Store, settings: HomeSettings, log: Logger): Write[] {
  const nowMs = Date.now();
  const { runtimeDirectory, diskDirectory } = settings;
  const { lastVmId } = store.identity();
  const known = store.load();
  const leftovers = findLeftovers(settings);
  const unknown = leftovers.filter(({ vmId }) => vmId > lastVmId);
  const describe = ({ vmId, process }: Pick<VmLeftovers, 'vmId' | 'process'>): DescribedVm[] => {
    const description = readDescription(runtimeDirectory, vmId);
    return description === null ? [] : [{ process, description }];
  };
  const rebuilt = unknown.flatMap(describe);
  const isRebuilt = new Set(rebuilt.map(({ description }) => description.record.id));
  const undescribed = unknown.filter(({ vmId }) => !isRebuilt.has(vmId));
  requireNobodyRuns(undescribed);
  const found = leftovers.flatMap((left) => foundOf(store.vm(left.vmId), left.process));
  const refound = found.flatMap(({ record: { id }, process }) => describe({ vmId: id, process }));
  const writes = [
    ...rebuilt.flatMap((vm) => writesOfRebuilt(vm, known, nowMs)),
    ...found.map((vm) => writeOfFound(vm, nowMs)),
    ...writesOfPlugins(rebuilt, known),
    ...writesOfDeployments(rebuilt, known, nowMs),
    ...writesOfDevices([...rebuilt, ...refound], known),
  ];
  requireNoConflict(store, writes);
  for (const { vmId, hasDisks } of undescribed) {
    if (!hasDisks) continue;
    const path = setDisksAside(diskDirectory, vmId, nowMs);
    log.warn({ vmId, path }, 'only the disks of a VM are known: they were renamed');
  }
  for (const { process, description } of rebuilt) {
    const { id, name } = description.record;
    log.warn({ vm: name, id, pid: process?.pid ?? null }, 'a VM was recorded again');
  }
  for (const { table, key, value } of writes) {
    if (table !== 'plugins' && table !== 'deployments' && table !== 'devices') continue;
    if (value !== null) log.warn({ table, name: key }, 'a record was made again');
  }
  const highest = leftovers.reduce((last, { vmId }) => Math.max(last, vmId), lastVmId);
  return [...writes, { table: 'meta', key: 'lastVmId', value: highest }];
}

function foundOf(record: VmRecord | undefined, process: ProcessIdentity | null): FoundVm[] {
  if (record === undefined || process === null || record.wanted.state === 'deleted') return [];
  const { pid, startTimeTicks, bootId } = record.process ?? {};
  const isSame =
    pid === process.pid && startTimeTicks === process.startTimeTicks && bootId === process.bootId;
  return isSame ? [] : [{ record, process }];
}

function requireNobodyRuns(undescribed: readonly VmLeftovers[]): void {
  const running = undescribed.flatMap(({ vmId, process }) =>
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
  const others = store.allVms().filter(({ id }) => !ids.has(id));
  const conflict = conflictIn([...others, ...changed]);
  if (conflict === null) return;
  throw new StartRefused(`${conflict}: end the hypervisor of one and delete its run directory`);
}
