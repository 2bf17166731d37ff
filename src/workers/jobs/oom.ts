// workers, job: whom the kernel takes first when memory is wanting, and whom it took: hypervisors before anybody else, the
// daemon last.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JobArgument, JobResult } from '../protocol.ts';
import { cgroupRootOf } from './cgroup.ts';
import { errnoOf } from './fault.ts';

/** Of 1,000 (proc(5), oom_score_adj): as if it had so much of all memory more than it has. */
const HYPERVISOR_SCORE = 800;
/** As if it had so much less. Not the lowest, by which it would never be taken: it might be the one that grows. */
const DAEMON_SCORE = -900;

/** What the kernel says where that is not allowed, or the process is gone. */
const UNABLE = ['EACCES', 'EPERM', 'ENOENT', 'ESRCH', 'EROFS', 'EINVAL'];

/** false where the host does not allow it: then hypervisors and daemon are taken by their size, as all others. */
export function offerToOom(pid: number): boolean {
  return wrote(`/proc/${pid}/oom_score_adj`, HYPERVISOR_SCORE);
}

/** Of this process, and of those that it starts until they are offered. false where the host does not allow it. */
export function shieldFromOom(): boolean {
  return wrote('/proc/self/oom_score_adj', DAEMON_SCORE);
}

/** The counters of one cgroup and of the host. (Documentation/admin-guide/cgroup-v2.rst, memory.events) */
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

/** Since it was booted. For the start of the daemon: it reads a file. */
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
