// engine, vm-record: the status that the API shows, computed from wanted and observed state. Pure.

import { VolantError } from '../../lib/errors.ts';
import type { VmStatus } from '../../schema/vm.ts';
import type { VmObserved, VmRecord, VmWanted } from '../records.ts';

type StatusFacts = Pick<VmRecord, 'wanted' | 'observed' | 'process'>;

/** The only function that decides a VM's status. */
export function statusOf({ wanted, observed, process }: StatusFacts): VmStatus {
  if (wanted.state === 'deleted') return 'deleting';
  const isAlive = process !== null;
  if (wanted.state === 'stopped') return isAlive || !observed.isReleased ? 'stopping' : 'stopped';
  // A restart first ends the process of the previous launch.
  if (needsLaunch({ wanted, observed })) return isAlive ? 'stopping' : 'starting';
  if (isAlive) return 'running';
  return observed.end ?? 'stopped';
}

/** A launch is wanted that was neither carried out nor given up. */
export function needsLaunch({ wanted, observed }: Pick<VmRecord, 'wanted' | 'observed'>): boolean {
  return wanted.state === 'running' && observed.launch < wanted.launch;
}

/** It has crashed, or its workload has ended for good. */
export function hasEndedByItself({ status, observed }: Pick<VmRecord, 'status' | 'observed'>) {
  return status === 'crashed' || (status === 'stopped' && (observed.exit ?? null) !== null);
}

type Changes = Partial<Omit<VmRecord, 'wanted' | 'observed' | 'status'>> & {
  readonly wanted?: Partial<VmWanted>;
  readonly observed?: Partial<VmObserved>;
};

/** The record after changes, with the status that follows from them. */
export function changed(record: VmRecord, changes: Changes, nowMs: number): VmRecord {
  const wanted = { ...record.wanted, ...changes.wanted };
  const observed = { ...record.observed, ...changes.observed };
  const next = { ...record, ...changes, wanted, observed, updatedAtMs: nowMs };
  return { ...next, status: statusOf(next) };
}

/** The error of a request that the current status does not allow. */
export function stateConflict(name: string, status: VmStatus, why: string): VolantError {
  return new VolantError('VM_STATE_CONFLICT', `VM ${name} is ${status} and ${why}`, {
    details: { status },
  });
}
