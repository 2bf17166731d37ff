// engine, vms: the error for a hypervisor that did not start. Pure.

import { VolantError } from '../../../lib/errors.ts';
import type { HypervisorComplaint } from '../../ports/hypervisor-ports.ts';
import type { ProcessExit } from '../../ports/process-ports.ts';
import type { VmRecord } from '../../records.ts';

/** The error, with the stderr tail in its details. It is CID_TAKEN if the hypervisor complains of that. */
export function launchFailure(
  code: 'HYPERVISOR_FAILED' | 'HYPERVISOR_TIMEOUT',
  { name, leases }: Pick<VmRecord, 'name' | 'leases'>,
  why: string,
  lines: readonly string[],
  complaint: HypervisorComplaint | null,
): VolantError {
  const details = lines.length === 0 ? {} : { details: { hypervisor: lines.join('\n') } };
  if (complaint === 'cid-taken') {
    const cid = `The vsock address (CID ${leases.vsockCid}) of VM ${name} belongs to another program`;
    const remedy = 'end that program, or create the VM again to get another address';
    return new VolantError('CID_TAKEN', `${cid}: ${remedy}`, details);
  }
  return new VolantError(code, `The hypervisor of VM ${name} did not start: ${why}`, details);
}

/** An exit as a clause for a message. */
export function describeExit(exit: ProcessExit): string {
  if (exit.signal !== null) return `it was killed by ${exit.signal}`;
  return exit.code === null ? 'it ended' : `it ended with status ${exit.code}`;
}
