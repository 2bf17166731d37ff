// workers, job: the share of the processors that a hypervisor gets. While its guest boots it has more than those that
// run: a kernel that is kept from its processor while it calibrates its timers has none afterwards.

import { readdirSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import type { ProcessIdentity } from '../../engine/records.ts';
import type { JobArgument } from '../protocol.ts';
import { cgroupRootOf } from './cgroup.ts';
import { errnoOf } from './fault.ts';
import { bootId, startTimeOf } from './process-facts.ts';

type Phase = 'boots' | 'runs';

/** The kernel's default is 100 (Documentation/admin-guide/cgroup-v2.rst). */
const CGROUP_WEIGHT: Readonly<Record<Phase, number>> = { boots: 300, runs: 100 };

/** Five steps are about three times the share (sched_prio_to_weight in the kernel's kernel/sched/core.c). */
const NICE: Readonly<Record<Phase, number>> = { boots: -5, runs: 0 };

/** What the kernel says where it has no such file, or has no use for the value. */
const UNABLE = ['ENOENT', 'EINVAL', 'EACCES', 'EPERM', 'EROFS', 'EOPNOTSUPP', 'EAGAIN'];
/** What it says of a process or thread that is gone. */
const GONE = ['ESRCH', 'ENOENT'];

/**
 * By the weight of its cgroup; where the host has none, by the niceness of its session and of its threads. A share
 * that the kernel does not grant is no reason not to boot.
 */
export function setCpuShare(hostTag: string, cgroupName: string, pid: number, phase: Phase): void {
  const root = cgroupRootOf(hostTag);
  if (root !== null) {
    if (wrote(join(root, cgroupName, 'cpu.weight'), CGROUP_WEIGHT[phase])) return;
  }
  // With groups by session niceness counts within the session only (sched(7), "The autogroup feature").
  wrote(`/proc/${pid}/autogroup`, NICE[phase]);
  for (const thread of threadsOf(pid)) setNiceness(thread, NICE[phase]);
}

export function endBoot({ settings, identity, cgroupName }: JobArgument<'endBoot'>): null {
  if (isAlive(identity)) setCpuShare(settings.hostTag, cgroupName, identity.pid, 'runs');
  return null;
}

function isAlive(identity: ProcessIdentity): boolean {
  return identity.bootId === bootId() && identity.startTimeTicks === startTimeOf(identity.pid);
}

function wrote(path: string, value: number): boolean {
  try {
    // Not created: where the kernel has no such file nobody can make one.
    writeFileSync(path, String(value), { flag: 'r+' });
    return true;
  } catch (error) {
    const errno = errnoOf(error) ?? '';
    if (UNABLE.includes(errno) || GONE.includes(errno)) return false;
    throw error;
  }
}

function threadsOf(pid: number): readonly number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch (error) {
    if (GONE.includes(errnoOf(error) ?? '')) return [];
    throw error;
  }
}

function setNiceness(thread: number, nice: number): void {
  try {
    setPriority(thread, nice);
  } catch (error) {
    const { code } = (error as { info?: { code?: string } }).info ?? {};
    if (code === undefined || !(GONE.includes(code) || UNABLE.includes(code))) throw error;
  }
}
