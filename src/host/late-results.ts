// host: results of jobs that return after they were given up. Nobody waits for these results, so their resources are
// released here: the descriptor is closed, and a hypervisor of such a launch is killed.

import { constants } from 'node:os';
import type { Logger } from '../lib/log/log.ts';
import { native } from './jobs/native.ts';
import type { AnyOutcome, JobName } from './jobs/protocol.ts';

/** Releases what a late result holds. Never throws. */
export function releaseLateResult(name: JobName, outcome: AnyOutcome | null, log: Logger): void {
  const pidfds = outcome?.ok === true ? pidfdsIn(outcome.value) : [];
  const ended = name === 'launch' && pidfds.length > 0;
  log.warn({ job: name, ended }, 'a job that was given up has returned');
  for (const pidfd of pidfds) release(pidfd, { name, ended }, log);
}

function release(
  pidfd: number,
  { name, ended }: { readonly name: JobName; readonly ended: boolean },
  log: Logger,
): void {
  try {
    // The launch was reported as failed, and what it made is removed. Other processes, such as an adopted hypervisor
    // or dnsmasq, stay: the next search finds them again.
    if (ended) native.pidfdSignal(pidfd, constants.signals.SIGKILL);
  } catch (error) {
    log.warn({ job: name, err: error }, 'a hypervisor of a late launch could not be killed');
  } finally {
    native.closeFd(pidfd);
  }
}

/** Those of the value itself, of its list, and of the processes that serveNames has started. */
function pidfdsIn(value: unknown): readonly number[] {
  if (typeof value !== 'object' || value === null) return [];
  if ('pidfd' in value) return typeof value.pidfd === 'number' ? [value.pidfd] : [];
  if ('started' in value && Array.isArray(value.started)) return value.started.flatMap(pidfdsIn);
  if (!('pidfds' in value) || !Array.isArray(value.pidfds)) return [];
  return value.pidfds.filter((pidfd) => typeof pidfd === 'number');
}
