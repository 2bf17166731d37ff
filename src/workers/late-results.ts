// workers, main-thread side: results of jobs that were given up, and that come after all. Nobody waits for them, so
// what they carry is let go of here: a descriptor is closed, a hypervisor that nobody knows of is ended.

import { constants } from 'node:os';
import type { Logger } from '../lib/log.ts';
import { native } from './native.ts';
import type { AnyOutcome, JobName } from './protocol.ts';

/** Never throws. */
export function letGoOf(name: JobName, outcome: AnyOutcome | null, log: Logger): void {
  const pidfd = outcome?.ok === true ? pidfdIn(outcome.value) : null;
  const ended = name === 'launch' && pidfd !== null;
  log.warn({ job: name, ended }, 'a job that was given up has come back');
  if (pidfd === null) return;
  try {
    // Its launch was answered as failed and what belongs to it is taken back. A hypervisor that was only looked at,
    // or a DHCP server, is found again by whoever looks next.
    if (ended) native.pidfdSignal(pidfd, constants.signals.SIGKILL);
  } catch (error) {
    log.warn({ job: name, err: error }, 'a hypervisor that came late could not be ended');
  } finally {
    native.closeFd(pidfd);
  }
}

function pidfdIn(value: unknown): number | null {
  if (typeof value !== 'object' || value === null || !('pidfd' in value)) return null;
  return typeof value.pidfd === 'number' ? value.pidfd : null;
}
