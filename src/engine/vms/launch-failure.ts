// engine: a hypervisor that did not start, as its client is told. Pure.

import { VolantError } from '../../lib/errors.ts';
import type { HypervisorComplaint, ProcessExit } from '../ports.ts';
import type { VmRecord } from '../records.ts';

/** With the last lines that the hypervisor wrote; CID_TAKEN where they complain of that. */
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
    const remedy = 'end that program, or create the VM anew, which gives it another address';
    return new VolantError('CID_TAKEN', `${cid}: ${remedy}`, details);
  }
  return new VolantError(code, `The hypervisor of VM ${name} did not start: ${why}`, details);
}

/** A part of a sentence. */
export function describeExit(exit: ProcessExit): string {
  if (exit.signal !== null) return `it was killed by ${exit.signal}`;
  return exit.code === null ? 'it ended' : `it ended with status ${exit.code}`;
}
