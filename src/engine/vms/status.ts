// engine, vms: the status that the API shows, computed from what is wanted of a VM and what was seen of it. Pure.

import { VolantError } from '../../lib/errors.ts';
import type { VmStatus } from '../../schema/vm.ts';
import type { VmObserved, VmRecord, VmWanted } from '../records.ts';

type StatusFacts = Pick<VmRecord, 'wanted' | 'observed' | 'process'>;

/** The one place that decides what a VM's status is. */
export function statusOf({ wanted, observed, process }: StatusFacts): VmStatus {
  if (wanted.state === 'deleted') return 'deleting';
  const isAlive = process !== null;
  if (wanted.state === 'stopped') return isAlive || !observed.isReleased ? 'stopping' : 'stopped';
  // A restart ends the process of the launch before it.
  if (owesLaunch({ wanted, observed })) return isAlive ? 'stopping' : 'starting';
  if (isAlive) return 'running';
  return observed.end ?? 'stopped';
}

/** A launch is wanted that was neither carried out nor given up. */
export function owesLaunch({ wanted, observed }: Pick<VmRecord, 'wanted' | 'observed'>): boolean {
  return wanted.state === 'running' && observed.launch < wanted.launch;
}

type Changes = Partial<Omit<VmRecord, 'wanted' | 'observed' | 'status'>> & {
  readonly wanted?: Partial<VmWanted>;
  readonly observed?: Partial<VmObserved>;
};

/** The record after a change, with the status that follows from it. */
export function changed(record: VmRecord, changes: Changes, nowMs: number): VmRecord {
  const wanted = { ...record.wanted, ...changes.wanted };
  const observed = { ...record.observed, ...changes.observed };
  const next = { ...record, ...changes, wanted, observed, updatedAtMs: nowMs };
  return { ...next, status: statusOf(next) };
}

/** The error of a request that the present status does not allow. */
export function stateConflict(name: string, status: VmStatus, why: string): VolantError {
  return new VolantError('VM_STATE_CONFLICT', `VM ${name} is ${status} and ${why}`, {
    details: { status },
  });
}
