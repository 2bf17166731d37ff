// jobs, process: recognises the daemon's hypervisors among the host's processes. A command line that names a run
// directory is not enough: a process that copies its files, or the daemon of a copied home, names it, too. The addon
// looks at the processes; this file says what it must find, and whose they are.

import { join } from 'node:path';
import { RUN_FILES } from '../../../engine/ports/hypervisor-ports.ts';
import type { ProcessIdentity } from '../../../engine/records.ts';
import { bootId } from '../../../lib/clock.ts';
import { errnoOf } from '../fault.ts';
import { native } from '../native.ts';
import type { HostSettings, HypervisorToOpen, JobArgument } from '../protocol.ts';
import { preferForOom } from './oom.ts';
import { isOfOtherHome } from './run-directory.ts';

/** The options by which the drivers pass the path of the pid file. */
const PID_FILE_OPTIONS = ['-pidfile', '--pid-file'];

export interface FoundProcess {
  readonly vmId: number;
  readonly identity: ProcessIdentity;
}

/** Returns all running hypervisors that a daemon of this home launched. `homeId` null: of any home. */
export function findHypervisors(
  runtimeDirectory: string,
  homeId: string | null,
): readonly FoundProcess[] {
  const boot = bootId();
  return processesOf(runtimeDirectory, null)
    .filter(({ vmId }) => homeId === null || !isOfOther(runtimeDirectory, vmId, homeId))
    .map(({ pid, vmId, startTimeTicks }) => ({
      vmId,
      identity: { pid, startTimeTicks, bootId: boot },
    }));
}

/** Returns a pidfd of exactly each of these processes, in their order, or null for one that is not there. */
export function openHypervisors({ settings, hypervisors }: JobArgument<'openHypervisors'>): {
  pidfds: (number | null)[];
} {
  const boot = bootId();
  const pidfds: (number | null)[] = [];
  try {
    for (const hypervisor of hypervisors) pidfds.push(openOne(settings, boot, hypervisor));
    return { pidfds };
  } catch (error) {
    for (const pidfd of pidfds) if (pidfd !== null) native.closeFd(pidfd);
    throw error;
  }
}

/** The pidfd is opened before the comparison, because its meaning cannot change. */
function openOne(
  { runtimeDirectory, homeId }: HostSettings,
  boot: string,
  { vmId, identity }: HypervisorToOpen,
): number | null {
  let pidfd: number;
  try {
    pidfd = native.pidfdOpen(identity.pid);
  } catch (error) {
    if (errnoOf(error) === 'ESRCH') return null;
    throw error;
  }
  let isSame = false;
  try {
    const [found] = processesOf(runtimeDirectory, identity.pid);
    isSame =
      identity.bootId === boot &&
      found?.startTimeTicks === identity.startTimeTicks &&
      found.vmId === vmId &&
      !isOfOther(runtimeDirectory, vmId, homeId);
    // It may have been launched by another version of the daemon.
    if (isSame) preferForOom(identity.pid);
  } finally {
    if (!isSame) native.closeFd(pidfd);
  }
  return isSame ? pidfd : null;
}

function processesOf(runtimeDirectory: string, pid: number | null) {
  return native.hypervisorsFind({
    runtimeDirectory,
    pidFileName: RUN_FILES.pidFile,
    pidFileOptions: PID_FILE_OPTIONS,
    pid,
  });
}

function isOfOther(runtimeDirectory: string, vmId: number, homeId: string): boolean {
  return isOfOtherHome(join(runtimeDirectory, String(vmId)), homeId);
}
