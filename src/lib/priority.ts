// lib: the priorities of the daemon's threads. The main thread answers all clients, so it precedes jobs, helpers and
// guests. What a thread does does not belong here.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** Steps of nice value: about nine times the share of a processor, and scheduling without delay (sched(7)). */
const STEPS_BEFORE = 10;
const HIGHEST = -20;

/** Errors of a kernel without autogroups, or of one that does not let this process change them. */
const NO_GROUPS = ['ENOENT', 'EACCES', 'EPERM', 'EROFS', 'EINVAL', 'EAGAIN', 'EOPNOTSUPP'];

/** Each thread has a nice value of its own. 0 means the calling thread. */
const THIS_THREAD = 0;

export interface Priorities {
  /**
   * The nice value with which this process was started, for threads that work for the main thread and for what they
   * start.
   */
  readonly others: number;
  /** false: the host does not allow the main thread a higher priority. */
  readonly isMainFirst: boolean;
}

/** Unchanged priorities, for programs without a daemon. */
export const ORDINARY: Priorities = { others: 0, isMainFirst: false };

/**
 * Gives the main thread priority over other processes and over threads that call `useOrdinaryPriority`. All other
 * threads of the process get that priority, too: they write the log and the records, read files and collect garbage,
 * and the main thread waits for locks that they hold.
 */
export function putMainThreadFirst(): Priorities {
  const others = getPriority(THIS_THREAD);
  const first = Math.max(HIGHEST, others - STEPS_BEFORE);
  try {
    setPriority(THIS_THREAD, first);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return { others, isMainFirst: false };
  }
  for (const thread of readdirSync('/proc/self/task')) {
    try {
      setPriority(Number(thread), first);
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }
  return { others, isMainFirst: true };
}

/**
 * Gives the session of this process priority, if it is the daemon's own. With autogroups the kernel divides
 * processors between sessions, and a nice value counts only within one (sched(7), "The autogroup feature"). Each
 * hypervisor has a session of its own, so otherwise the daemon would get the share of one guest. Returns whether it
 * was done.
 */
export function putSessionFirst(
  others: number,
  stat = readFileSync('/proc/self/stat', 'utf8'),
): boolean {
  if (!isOwnSession(stat)) return false;
  try {
    // Never created: only the kernel makes such files.
    const first = String(Math.max(HIGHEST, others - STEPS_BEFORE));
    writeFileSync('/proc/self/autogroup', first, { flag: 'r+' });
    return true;
  } catch (error) {
    if (!NO_GROUPS.includes(codeOf(error))) throw error;
    return false;
  }
}

/** Whether the session's leader is this process or its supervisor, and not the shell of a person (proc_pid_stat(5)). */
function isOwnSession(stat: string): boolean {
  const [, parent, , session, terminal] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [pid] = stat.split(' ');
  return session === pid || (session === parent && terminal === '0');
}

/** Gives the calling thread, and what it starts, the priority with which the process was started. */
export function useOrdinaryPriority({ others, isMainFirst }: Priorities): void {
  // Lowering the priority is always allowed.
  if (isMainFirst) setPriority(THIS_THREAD, others);
}

function isRefusal(error: unknown): boolean {
  return ['EACCES', 'EPERM'].includes(codeOf(error));
}

/** The thread ended after its number was read. */
function isGone(error: unknown): boolean {
  return codeOf(error) === 'ESRCH';
}

/** The error of setPriority has the code in a member. */
function codeOf(error: unknown): string {
  const { code, info } = error as {
    readonly code?: string;
    readonly info?: { readonly code?: string };
  };
  return info?.code ?? code ?? '';
}
