// workers, job: a cgroup for each hypervisor, with limits, where the host has cgroup version 2 and its
// controllers. Without them a VM runs all the same.

import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { CgroupSpec } from '../../engine/ports.ts';
import type { JobArgument } from '../protocol.ts';
import { errnoOf, JobFault } from './fault.ts';

/** The last task of a cgroup may still be leaving it when its exit was seen. */
const REMOVE_TRIES_MAX = 50;
const REMOVE_PAUSE_MS = 10;

const CONTROLLERS = ['memory', 'pids', 'cpu'];
const CPU_PERIOD_US = 100_000;
/** What the kernel says of a controller that it does not have here. */
const UNABLE = ['ENOENT', 'EINVAL', 'EBUSY', 'EACCES', 'EPERM', 'EOPNOTSUPP'];

let mountPoint: string | null | undefined;
let enabledIn: string | undefined;

/** The directory of all cgroups of one daemon; null without cgroup version 2. */
export function cgroupRootOf(hostTag: string): string | null {
  mountPoint ??= findMountPoint();
  return mountPoint === null ? null : join(mountPoint, `volant-${hostTag}`);
}

interface Cgroup {
  /** Its cgroup.procs; null when there is no cgroup. */
  readonly procs: string | null;
  /** Why what it may use is not limited, or not in all respects; null when it is. */
  readonly withoutLimits: string | null;
}

/** Makes the cgroup. What the host cannot do is told, and is no error. */
export function makeCgroup(hostTag: string, spec: CgroupSpec): Cgroup {
  const root = cgroupRootOf(hostTag);
  if (root === null) return { procs: null, withoutLimits: 'cgroup version 2 is not mounted' };
  const directory = join(root, spec.name);
  try {
    mkdirSync(directory, { recursive: true });
    // Controllers are handed down level by level, also to children that are there already.
    if (enabledIn !== root) for (const above of [dirname(root), root]) enableControllers(above);
    enabledIn = root;
  } catch (error) {
    return { procs: null, withoutLimits: `cgroup cannot be made: ${errnoOf(error) ?? error}` };
  }
  const missing = limit(directory, spec);
  const withoutLimits = missing.length === 0 ? null : `cgroups here have no ${missing.join(', ')}`;
  return { procs: join(directory, 'cgroup.procs'), withoutLimits };
}

/** One that the host does not have, or that version 1 has, is no reason to do without the others. */
function enableControllers(directory: string): void {
  for (const controller of CONTROLLERS) {
    writeIfThere(join(directory, 'cgroup.subtree_control'), `+${controller}`);
  }
}

/** Returns the files that could not be written. (Documentation/admin-guide/cgroup-v2.rst) */
function limit(directory: string, spec: CgroupSpec): readonly string[] {
  const limits = {
    'memory.max': String(spec.memoryBytesMax),
    // A hypervisor without one of its threads is no hypervisor.
    'memory.oom.group': '1',
    'pids.max': String(spec.tasksMax),
    'cpu.max': `${spec.cpusMax * CPU_PERIOD_US} ${CPU_PERIOD_US}`,
  };
  return Object.entries(limits).flatMap(([file, value]) =>
    writeIfThere(join(directory, file), value) ? [] : [file],
  );
}

/** false where the file is not there, or the kernel has no use for the value. */
function writeIfThere(path: string, value: string): boolean {
  try {
    // Not created: where the kernel has no such file nobody can make one.
    writeFileSync(path, value, { flag: 'r+' });
    return true;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === undefined || !UNABLE.includes(errno)) throw error;
    return false;
  }
}

export function removeCgroup({ settings, cgroupName }: JobArgument<'removeCgroup'>): null {
  const root = cgroupRootOf(settings.hostTag);
  if (root === null) return null;
  if (cgroupName === null) removeDirectory(root, () => undefined);
  else removeDirectory(join(root, cgroupName), killAllIn);
  return null;
}

export function listCgroups(hostTag: string): readonly string[] {
  const root = cgroupRootOf(hostTag);
  if (root === null) return [];
  try {
    return readdirSync(root, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

function removeDirectory(path: string, whenBusy: (path: string) => void): void {
  for (let tries = 1; ; tries += 1) {
    try {
      rmdirSync(path);
      return;
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === 'ENOENT') return;
      if (errno === 'EBUSY') whenBusy(path);
      if (errno !== 'EBUSY' || tries >= REMOVE_TRIES_MAX) {
        throw new JobFault('HOST_OPERATION_FAILED', 'A cgroup could not be removed', error);
      }
      // This thread is here to wait.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, REMOVE_PAUSE_MS);
    }
  }
}

/** Whoever is in the cgroup of a VM that has ended belongs to it. */
function killAllIn(path: string): void {
  if (writeIfThere(join(path, 'cgroup.kill'), '1')) return;
  for (const pid of readFileSync(join(path, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean)) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch (error) {
      if (errnoOf(error) !== 'ESRCH') throw error;
    }
  }
}

/** From /proc/self/mountinfo (proc(5)): the file system type stands behind " - ". */
function findMountPoint(): string | null {
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [fields = '', type = ''] = line.split(' - ');
    if (type.startsWith('cgroup2 ')) return fields.split(' ')[4] ?? null;
  }
  return null;
}
