// engine, audit: where the host is not as the records say. Pure: what was seen is given, what is done about a difference
// is not known here.

import type { VmStatus } from '../../schema/vm.ts';
import type { HostInventory } from '../ports.ts';
import type { VmRecord } from '../records.ts';
import { type Leftovers, leftoversIn } from '../vms/leftovers.ts';

/**
 * missing: a VM that runs lacks it. left: a VM that does not run still has it. unknown: no VM has it. lease: an address is
 * leased to somebody else, or to nobody.
 */
export type DifferenceKind =
  | 'process_missing'
  | 'process_left'
  | 'process_unknown'
  | 'tap_missing'
  | 'tap_left'
  | 'tap_unknown'
  | 'cgroup_left'
  | 'cgroup_unknown'
  | 'run_directory_missing'
  | 'run_directory_unknown'
  | 'disks_unknown'
  | 'lease_wrong';

export interface Difference {
  readonly kind: DifferenceKind;
  /** What it is about: a pid, the name of a link or a cgroup, the number of a directory, an address. */
  readonly subject: string;
  readonly vmId: number;
  /** null: no VM has this id. */
  readonly vm: string | null;
  /** What to do where it cannot be repaired while the guest runs; null: a repair puts it in line. */
  readonly remedy: string | null;
}

export interface AuditView {
  readonly records: readonly VmRecord[];
  readonly inventory: HostInventory;
  /** The highest id that was given when the look began: what is above it is on its way. */
  readonly lastVmId: number;
  /** A VM that has changed since the look began is on its way, too. */
  readonly hasChanged: (record: VmRecord) => boolean;
  /** Whose an address is; null: nobody's. */
  readonly holderOf: (address: string) => number | null;
}

const SETTLED: readonly VmStatus[] = ['running', 'stopped', 'crashed'];
export const RESTART = 'restart the VM: its guest cannot get it back while it runs';

/** Of VMs that are not on their way from one status to another. */
export function differencesIn(view: AuditView): readonly Difference[] {
  const held = leftoversIn(view.inventory);
  const found: Difference[] = [];
  // One that has ended long ago costs two look-ups: there may be many of them.
  for (const record of view.records) {
    const left = held.get(record.id);
    held.delete(record.id);
    if (!isSettled(record, view)) continue;
    if (record.status === 'running') found.push(...missingOf(record, left ?? NOTHING));
    else if (left !== undefined) found.push(...kernelObjectsOf(record.id, record.name, left));
    if (!hasLease(record, view)) found.push(wrongLeaseOf(record));
  }
  for (const [vmId, left] of held) {
    if (vmId <= view.lastVmId) found.push(...unknownObjectsOf(vmId, left));
  }
  return found;
}

/** VMs that are on their way, about which nothing can be said yet. */
export function unsettledIn(view: AuditView): readonly string[] {
  return view.records.filter((record) => !isSettled(record, view)).map(({ name }) => name);
}

const NOTHING: Leftovers = {
  processes: [],
  tapNames: [],
  cgroupNames: [],
  hasRunDirectory: false,
  hasDisks: false,
};

function isSettled(record: VmRecord, { hasChanged }: AuditView): boolean {
  return SETTLED.includes(record.status) && !hasChanged(record);
}

/** What a stop takes away. Files outlive it. */
function kernelObjectsOf(vmId: number, vm: string | null, left: Leftovers): Difference[] {
  const suffix = vm === null ? 'unknown' : 'left';
  const difference = (kind: 'process' | 'tap' | 'cgroup', subject: string): Difference => {
    return { kind: `${kind}_${suffix}`, subject, vmId, vm, remedy: null };
  };
  return [
    ...left.processes.map(({ pid }) => difference('process', String(pid))),
    ...left.tapNames.map((name) => difference('tap', name)),
    ...left.cgroupNames.map((name) => difference('cgroup', name)),
  ];
}

function unknownObjectsOf(vmId: number, left: Leftovers): readonly Difference[] {
  const files = (kind: DifferenceKind, isThere: boolean): Difference[] =>
    isThere ? [{ kind, subject: String(vmId), vmId, vm: null, remedy: null }] : [];
  return [
    ...kernelObjectsOf(vmId, null, left),
    ...files('run_directory_unknown', left.hasRunDirectory),
    ...files('disks_unknown', left.hasDisks),
  ];
}

function missingOf({ id, name, process, leases }: VmRecord, left: Leftovers): Difference[] {
  const missing = (kind: DifferenceKind, subject: string, remedy: string | null): Difference => {
    return { kind, subject, vmId: id, vm: name, remedy };
  };
  if (!left.processes.some(({ pid }) => pid === process?.pid)) {
    return [missing('process_missing', String(process?.pid), null)];
  }
  const { tapName } = leases;
  const hasTap = tapName === null || left.tapNames.includes(tapName);
  return [
    ...(hasTap ? [] : [missing('tap_missing', tapName, RESTART)]),
    ...(left.hasRunDirectory ? [] : [missing('run_directory_missing', String(id), RESTART)]),
  ];
}

function hasLease({ id, leases: { ipAddress } }: VmRecord, { holderOf }: AuditView): boolean {
  return ipAddress === null || holderOf(ipAddress) === id;
}

function wrongLeaseOf({ id: vmId, name: vm, leases }: VmRecord): Difference {
  return { kind: 'lease_wrong', subject: leases.ipAddress ?? '', vmId, vm, remedy: null };
}
