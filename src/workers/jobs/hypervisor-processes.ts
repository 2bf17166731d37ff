// workers, job: which processes of the host are our hypervisors. A command line that names a run directory is not enough:
// whoever copies or follows its files names it, too, and so does the daemon of a copied home.

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { RUN_FILES } from '../../engine/ports.ts';
import type { ProcessIdentity } from '../../engine/records.ts';
import { native } from '../native.ts';
import type { JobArgument } from '../protocol.ts';
import { errnoOf } from './fault.ts';
import { namesIn } from './if-present.ts';
import { offerToOom } from './oom.ts';
import { bootId, isSessionLeader, startTimeOf } from './process-facts.ts';
import { isForeign } from './run-directory.ts';

/** How the drivers tell a hypervisor where its pid file is. */
const PID_FILE_OPTIONS = ['-pidfile', '--pid-file'];

/** What a process may be that ended meanwhile, or that we may not look at: in no case a hypervisor of ours. */
const NOT_OURS = ['ENOENT', 'ESRCH', 'EACCES', 'EPERM'];

export interface FoundProcess {
  readonly vmId: number;
  readonly identity: ProcessIdentity;
}

/** All that live and were launched by a daemon of this home; null is of any. */
export function findHypervisors(
  runtimeDirectory: string,
  homeId: string | null,
): readonly FoundProcess[] {
  const boot = bootId();
  const found: FoundProcess[] = [];
  for (const name of namesIn('/proc')) {
    const pid = Number(name);
    if (!/^\d+$/.test(name) || pid === process.pid) continue;
    const vmId = vmIdOf(pid, runtimeDirectory);
    if (vmId === null || !isHypervisorOf(pid, runtimeDirectory, vmId)) continue;
    if (homeId !== null && isForeign(join(runtimeDirectory, String(vmId)), homeId)) continue;
    const startTimeTicks = startTimeOf(pid);
    if (startTimeTicks !== null)
      found.push({ vmId, identity: { pid, startTimeTicks, bootId: boot } });
  }
  return found;
}

/** A pidfd of exactly this process, or null. The order matters: what a pidfd means cannot change. */
export function openHypervisor({ settings, vmId, identity }: JobArgument<'openHypervisor'>): {
  pidfd: number | null;
} {
  let pidfd: number;
  try {
    pidfd = native.pidfdOpen(identity.pid);
  } catch (error) {
    if (errnoOf(error) === 'ESRCH') return { pidfd: null };
    throw error;
  }
  const isSame =
    identity.bootId === bootId() &&
    identity.startTimeTicks === startTimeOf(identity.pid) &&
    isHypervisorOf(identity.pid, settings.runtimeDirectory, vmId) &&
    !isForeign(join(settings.runtimeDirectory, String(vmId)), settings.homeId);
  if (isSame) {
    // Whoever launched it may have been another version.
    offerToOom(identity.pid);
    return { pidfd };
  }
  native.closeFd(pidfd);
  return { pidfd: null };
}

/** It leads a session, works in the VM's run directory and keeps its pid file there. */
function isHypervisorOf(pid: number, runtimeDirectory: string, vmId: number): boolean {
  return (
    isSessionLeader(pid) &&
    vmIdOf(pid, runtimeDirectory) === vmId &&
    worksIn(pid, join(runtimeDirectory, String(vmId)))
  );
}

/** Of the pid file on its command line. */
function vmIdOf(pid: number, runtimeDirectory: string): number | null {
  const argv = ifOurs(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')) ?? [];
  const index = argv.findIndex((argument) => PID_FILE_OPTIONS.includes(argument));
  const pidFile = index < 0 ? undefined : argv[index + 1];
  if (pidFile === undefined || !pidFile.startsWith(`${runtimeDirectory}/`)) return null;
  const id = /^(\d+)\/(.*)$/.exec(pidFile.slice(runtimeDirectory.length + 1));
  return id?.[2] === RUN_FILES.pidFile ? Number(id[1]) : null;
}

/** By its inode: the same path may be another directory in another view, and one directory may have many paths. */
function worksIn(pid: number, runDirectory: string): boolean {
  const there = ifOurs(() => statSync(`/proc/${pid}/cwd`));
  if (there === null) return false;
  const here = ifOurs(() => statSync(runDirectory));
  if (here !== null) return here.dev === there.dev && here.ino === there.ino;
  // Somebody removed it under the hypervisor, which works in it still.
  return there.nlink === 0;
}

function ifOurs<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (NOT_OURS.includes(errnoOf(error) ?? '')) return null;
    throw error;
  }
}
