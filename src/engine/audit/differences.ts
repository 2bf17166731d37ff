// engine, audit: finds where the host differs from the records. Pure. Repairs are in audit.ts.

import type { VmStatus } from '../../schema/vm.ts';
import type { HostInventory } from '../ports/process-ports.ts';
import type { VmRecord, VmSummary } from '../records.ts';
import { type Leftovers, leftoversIn } from '../vms/start/leftovers.ts';

/**
 * missing: a running VM lacks it. left: a VM that does not run still has it. unknown: it belongs to no VM. lease_wrong:
 * an address is allocated to another VM or to none.
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
  /** What differs: a pid, the name of a link or cgroup, the number of a directory, or an address. */
  readonly subject: string;
  readonly vmId: number;
  /** The VM's name; null if no VM has this id. */
  readonly vm: string | null;
  /** What the operator can do if a repair is impossible while the guest runs; null if a repair is possible. */
  readonly remedy: string | null;
}

export type AuditedVm = Pick<VmSummary, 'id' | 'name' | 'status' | 'ipAddress'>;

export interface AuditView {
  readonly vms: readonly AuditedVm[];
  /** Called for running VMs only. */
  readonly recordOf: (vmId: number) => Pick<VmRecord, 'process' | 'leases'> | undefined;
  readonly inventory: HostInventory;
  /** The highest id allocated when the audit began. VMs with higher ids are being created. */
  readonly lastVmId: number;
  /** Whether the VM has changed since the audit began; its state on the host may be changing as well. */
  readonly hasChanged: (vm: AuditedVm) => boolean;
  /** The VM that holds an address; null if none does. */
  readonly holderOf: (address: string) => number | null;
}

const SETTLED: readonly VmStatus[] = ['running', 'stopped', 'crashed'];
export const RESTART = 'restart the VM: it cannot be restored while the guest runs';

/** The differences of all VMs that are not changing their state. */
export function differencesIn(view: AuditView): readonly Difference[] {
  const held = leftoversIn(view.inventory);
  const found: Difference[] = [];
  // Many VMs may be stopped, so one costs two look-ups only.
  for (const vm of view.vms) {
    const left = held.get(vm.id);
    held.delete(vm.id);
    if (!isSettled(vm, view)) continue;
    if (vm.status === 'running') found.push(...missingOf(vm, view, left ?? NOTHING));
    else if (left !== undefined) found.push(...kernelObjectsOf(vm.id, vm.name, left));
    if (!hasLease(vm, view)) found.push(wrongLeaseOf(vm));
  }
  for (const [vmId, left] of held) {
    if (vmId <= view.lastVmId) found.push(...unknownObjectsOf(vmId, left));
  }
  return found;
}

/** The names of VMs that are changing their state and cannot be judged yet. */
export function unsettledIn(view: AuditView): readonly string[] {
  return view.vms.filter((vm) => !isSettled(vm, view)).map(({ name }) => name);
}

const NOTHING: Leftovers = {
  processes: [],
  tapNames: [],
  cgroupNames: [],
  hasRunDirectory: false,
  hasDisks: false,
};

function isSettled(vm: AuditedVm, { hasChanged }: AuditView): boolean {
  return SETTLED.includes(vm.status) && !hasChanged(vm);
}

/** What a stop removes. Files stay. */
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

function missingOf({ id, name }: AuditedVm, view: AuditView, left: Leftovers): Difference[] {
  const { process, leases } = view.recordOf(id) ?? {};
  const missing = (kind: DifferenceKind, subject: string, remedy: string | null): Difference => {
    return { kind, subject, vmId: id, vm: name, remedy };
  };
  if (!left.processes.some(({ pid }) => pid === process?.pid)) {
    return [missing('process_missing', String(process?.pid), null)];
  }
  const tapName = leases?.tapName ?? null;
  const hasTap = tapName === null || left.tapNames.includes(tapName);
  return [
    ...(hasTap ? [] : [missing('tap_missing', tapName, RESTART)]),
    ...(left.hasRunDirectory ? [] : [missing('run_directory_missing', String(id), RESTART)]),
  ];
}

function hasLease({ id, ipAddress }: AuditedVm, { holderOf }: AuditView): boolean {
  return ipAddress === null || holderOf(ipAddress) === id;
}

function wrongLeaseOf({ id: vmId, name: vm, ipAddress }: AuditedVm): Difference {
  return { kind: 'lease_wrong', subject: ipAddress ?? '', vmId, vm, remedy: null };
}
