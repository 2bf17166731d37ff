// workers, job: what tells one process from another that got its number later.

import { readFileSync } from 'node:fs';
import { errnoOf } from './fault.ts';

/** Of this boot of the host. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** Field 22 of /proc/<pid>/stat (proc(5)); null when there is no such process or it is a zombie. */
export function startTimeOf(pid: number): number | null {
  const fields = statOf(pid);
  return fields === null || fields[0] === 'Z' ? null : Number(fields[19]);
}

/** Field 6: its session has its number. false when there is no such process. */
export function isSessionLeader(pid: number): boolean {
  return Number(statOf(pid)?.[3]) === pid;
}

/** From field 3 on; null when there is no such process. */
function statOf(pid: number): readonly string[] | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'ESRCH') return null;
    throw error;
  }
  // The name in field 2 may hold anything, the closing bracket is the last one of the line.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}
