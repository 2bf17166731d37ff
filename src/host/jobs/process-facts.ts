// jobs: what distinguishes a process from another one that got its number later.

import { readFileSync } from 'node:fs';
import { errnoOf } from './fault.ts';

/**
 * Returns the start time in ticks, field 22 of /proc/<pid>/stat (proc(5)); null when there is no such process or it
 * is a zombie.
 */
export function startTimeOf(pid: number): number | null {
  const fields = statOf(pid);
  return fields === null || fields[0] === 'Z' ? null : Number(fields[19]);
}

/** Returns the fields from field 3 on; null when there is no such process. */
function statOf(pid: number): readonly string[] | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'ESRCH') return null;
    throw error;
  }
  // The name in field 2 may contain anything; it ends with the last closing bracket of the line.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}
