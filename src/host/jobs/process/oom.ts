// jobs, process: which processes the kernel's OOM killer prefers, and which it has killed. Hypervisors are killed
// first, the daemon last.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../fault.ts';
import type { JobArgument, JobResult } from '../protocol.ts';
import { cgroupRootOf } from './cgroup.ts';

/** Of 1,000 (oom_score_adj of proc(5)): as if the process used this much more of all memory. */
const HYPERVISOR_SCORE = 800;
/**
 * As if the daemon used this much less. It is not the minimum, which would exempt it: the daemon itself might be what
 * grows.
 */
const DAEMON_SCORE = -900;

/** Errors of a host that does not allow it, or of a process that has ended. */
const UNABLE = ['EACCES', 'EPERM', 'ENOENT', 'ESRCH', 'EROFS', 'EINVAL'];

/**
 * Makes the OOM killer prefer this process. false: the host does not allow it, and processes are chosen by their
 * size.
 */
export function preferForOom(pid: number): boolean {
  return wrote(`/proc/${pid}/oom_score_adj`, HYPERVISOR_SCORE);
}

/** Protects this process, and its children until offerToOom. false: the host does not allow it. */
export function protectFromOom(): boolean {
  return wrote('/proc/self/oom_score_adj', DAEMON_SCORE);
}

/** Reads the counters of one cgroup and of the host (memory.events in Documentation/admin-guide/cgroup-v2.rst). */
export function findOomKill({
  settings,
  cgroupName,
}: JobArgument<'findOomKill'>): JobResult<'findOomKill'> {
  const root = cgroupRootOf(settings.hostTag);
  const events = root === null ? null : textOf(join(root, cgroupName, 'memory.events'));
  return {
    ofCgroup: events === null ? null : countIn(events, 'oom_kill'),
    hitLimit: events !== null && countIn(events, 'oom') > 0,
    ofHost: oomKillsOfHost(),
  };
}

/** Returns the number of OOM kills since the host was booted. Reads a file, so it is for the start of the daemon. */
export function oomKillsOfHost(): number {
  return countIn(textOf('/proc/vmstat') ?? '', 'oom_kill');
}

function countIn(text: string, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENODEV') return null;
    throw error;
  }
}

function wrote(path: string, score: number): boolean {
  try {
    writeFileSync(path, String(score), { flag: 'r+' });
    return true;
  } catch (error) {
    if (UNABLE.includes(errnoOf(error) ?? '')) return false;
    throw error;
  }
}
