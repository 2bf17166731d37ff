// engine: the table of legal moves between the statuses of a VM. Data first; nothing here knows how
// a move is made.

import { VolantError } from '../lib/errors.ts';
import type { VmStatus } from '../schema/vm.ts';

/** From each status, where a VM may go next. A removed record has no status. */
export const NEXT_STATUSES: Readonly<Record<VmStatus, readonly VmStatus[]>> = {
  pending: ['starting', 'deleting'],
  starting: ['running', 'stopping', 'stopped', 'crashed', 'deleting'],
  // Launched again: its guest came up with a broken clock.
  running: ['starting', 'stopping', 'stopped', 'crashed', 'deleting'],
  // Back to running when the process could not be ended.
  stopping: ['stopped', 'crashed', 'running', 'deleting'],
  stopped: ['starting', 'deleting'],
  crashed: ['starting', 'stopped', 'deleting'],
  deleting: [],
};

/** The new status, or VM_STATE_CONFLICT when the move is not in the table. */
export function moveTo(name: string, from: VmStatus, to: VmStatus): VmStatus {
  if (NEXT_STATUSES[from].includes(to)) return to;
  throw stateConflict(name, from, `cannot become ${to}`);
}

/** The error of an operation that the present status does not allow. */
export function stateConflict(name: string, status: VmStatus, why: string): VolantError {
  return new VolantError('VM_STATE_CONFLICT', `VM ${name} is ${status} and ${why}`, {
    details: { status },
  });
}
