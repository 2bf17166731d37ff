// load, owned: which process started a run, and whether it still runs.

import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { bootId } from '../../lib/clock.ts';
import type { RunOwner } from './labels.ts';

/** unknown: it ran on another host, or where its processes cannot be seen from here. */
export type OwnerState = 'alive' | 'dead' | 'unknown';

/** This process, as the owner of a run. */
export function thisOwner(label: string): RunOwner {
  return {
    label,
    host: hostname(),
    boot_id: bootId(),
    pid_namespace: readlinkSync('/proc/self/ns/pid'),
    pid: process.pid,
    started_ticks: startedTicks(process.pid) ?? '',
  };
}

export function stateOf(owner: RunOwner): OwnerState {
  if (owner.boot_id !== bootId()) return owner.host === hostname() ? 'dead' : 'unknown';
  if (owner.pid_namespace !== readlinkSync('/proc/self/ns/pid')) return 'unknown';
  return startedTicks(owner.pid) === owner.started_ticks ? 'alive' : 'dead';
}

/** proc_pid_stat(5), field 22; undefined: there is no such process, or it has ended and waits for its parent. */
function startedTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field is the name of the program, which may have blanks and brackets.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}
