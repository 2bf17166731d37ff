// jobs, process: the share of the processors that a hypervisor gets. It is larger while its guest boots: a kernel
// that lacks CPU time while it calibrates its timers has broken timers afterwards.

import { readdirSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import type { ProcessIdentity } from '../../../engine/records.ts';
import { bootId } from '../../../lib/clock.ts';
import { errnoOf } from '../fault.ts';
import { startTimeOf } from '../process-facts.ts';
import type { JobArgument } from '../protocol.ts';
import { cgroupRootOf } from './cgroup.ts';

type Phase = 'boots' | 'runs';

/** The kernel's default is 100 (Documentation/admin-guide/cgroup-v2.rst). */
const CGROUP_WEIGHT: Readonly<Record<Phase, number>> = { boots: 300, runs: 100 };

/** Five steps are about three times the share (sched_prio_to_weight in the kernel's kernel/sched/core.c). */
const NICE: Readonly<Record<Phase, number>> = { boots: -5, runs: 0 };

/** Errors of a file that this kernel lacks, or of a value that it refuses. */
const UNABLE = ['ENOENT', 'EINVAL', 'EACCES', 'EPERM', 'EROFS', 'EOPNOTSUPP', 'EAGAIN'];
/** Errors of a process or thread that has ended. */
const GONE = ['ESRCH', 'ENOENT'];

/**
 * Sets the share by the weight of the cgroup; without one, by the nice values of the session and of its threads. A
 * share that the kernel refuses does not prevent the boot.
 */
export function setCpuShare(hostTag: string, cgroupName: string, pid: number, phase: Phase): void {
  const root = cgroupRootOf(hostTag);
  if (root !== null) {
    if (wrote(join(root, cgroupName, 'cpu.weight'), CGROUP_WEIGHT[phase])) return;
  }
  // With autogroups, nice values count only within the session (sched(7), "The autogroup feature").
  wrote(`/proc/${pid}/autogroup`, NICE[phase]);
  for (const thread of threadsOf(pid)) setNiceness(thread, NICE[phase]);
}

/** Gives a hypervisor whose guest has booted the normal share. */
export function endBoot({ settings, identity, cgroupName }: JobArgument<'endBoot'>): null {
  if (isAlive(identity)) setCpuShare(settings.hostTag, cgroupName, identity.pid, 'runs');
  return null;
}

function isAlive(identity: ProcessIdentity): boolean {
  return identity.bootId === bootId() && identity.startTimeTicks === startTimeOf(identity.pid);
}

function wrote(path: string, value: number): boolean {
  try {
    // Never created: only the kernel makes such files.
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
