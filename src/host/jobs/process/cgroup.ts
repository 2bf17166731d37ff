// jobs, process: one cgroup with limits for each hypervisor, where the host has cgroup version 2 with the needed
// controllers. Without them VMs run without these limits.

import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { CgroupSpec } from '../../../engine/ports/process-ports.ts';
import { errnoOf, JobFault } from '../fault.ts';
import type { HostSettings } from '../protocol.ts';

/** A task may still be leaving its cgroup after its exit was seen. */
const REMOVE_TRIES_MAX = 50;
const REMOVE_PAUSE_MS = 10;

const CONTROLLERS = ['memory', 'pids', 'cpu'];
const CPU_PERIOD_US = 100_000;
/** Errors of a controller that this host lacks. */
const UNABLE = ['ENOENT', 'EINVAL', 'EBUSY', 'EACCES', 'EPERM', 'EOPNOTSUPP'];

let mountPoint: string | null | undefined;
let enabledIn: string | undefined;

/** Returns the directory of all cgroups of one daemon; null without cgroup version 2. */
export function cgroupRootOf(hostTag: string): string | null {
  mountPoint ??= findMountPoint();
  return mountPoint === null ? null : join(mountPoint, `volant-${hostTag}`);
}

interface Cgroup {
  /** The path of its cgroup.procs; null when there is no cgroup. */
  readonly procs: string | null;
  /** Why some or all of its limits are not in force; null when all are. */
  readonly withoutLimits: string | null;
}

/** Creates the cgroup. What the host cannot do is reported in the result and is no error. */
export function makeCgroup(hostTag: string, spec: CgroupSpec): Cgroup {
  const root = cgroupRootOf(hostTag);
  if (root === null) return { procs: null, withoutLimits: 'cgroup version 2 is not mounted' };
  const directory = join(root, spec.name);
  try {
    mkdirSync(directory, { recursive: true });
    // Controllers are enabled level by level, also for existing children.
    if (enabledIn !== root) for (const above of [dirname(root), root]) enableControllers(above);
    enabledIn = root;
  } catch (error) {
    return { procs: null, withoutLimits: `cgroup cannot be made: ${errnoOf(error) ?? error}` };
  }
  const missing = limit(directory, spec);
  const withoutLimits = missing.length === 0 ? null : `cgroups here have no ${missing.join(', ')}`;
  return { procs: join(directory, 'cgroup.procs'), withoutLimits };
}

/** Enables each controller by itself: one that is missing, or belongs to version 1, does not prevent the others. */
function enableControllers(directory: string): void {
  for (const controller of CONTROLLERS) {
    writeIfThere(join(directory, 'cgroup.subtree_control'), `+${controller}`);
  }
}

/**
 * Writes the limits (Documentation/admin-guide/cgroup-v2.rst). Returns the names of the files that could not be
 * written.
 */
function limit(directory: string, spec: CgroupSpec): readonly string[] {
  const limits = {
    'memory.max': String(spec.memoryBytesMax),
    // A hypervisor that lost one thread is useless, so the kernel kills all of it.
    'memory.oom.group': '1',
    'pids.max': String(spec.tasksMax),
    'cpu.max': `${spec.cpusMax * CPU_PERIOD_US} ${CPU_PERIOD_US}`,
  };
  return Object.entries(limits).flatMap(([file, value]) =>
    writeIfThere(join(directory, file), value) ? [] : [file],
  );
}

/** Writes a kernel file. false: the file does not exist or does not accept the value. */
function writeIfThere(path: string, value: string): boolean {
  // An error costs more than this look, and some hosts lack all of these files.
  if (!existsSync(path)) return false;
  try {
    // Never created: only the kernel makes such files.
    writeFileSync(path, value, { flag: 'r+' });
    return true;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === undefined || !UNABLE.includes(errno)) throw error;
    return false;
  }
}

/**
 * Removes one cgroup, after killing what is left in it; null removes the daemon's root cgroup. Absent ones are no
 * error.
 */
export function removeCgroup({ hostTag }: HostSettings, cgroupName: string | null): void {
  const root = cgroupRootOf(hostTag);
  if (root === null) return;
  if (cgroupName === null) removeDirectory(root, () => undefined);
  else removeDirectory(join(root, cgroupName), killAllIn);
}

/** Returns the names of the daemon's cgroups. */
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
      // Blocks, which a worker thread may do.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, REMOVE_PAUSE_MS);
    }
  }
}

/** A process in the cgroup of an ended VM belongs to that VM. */
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

/** Reads /proc/self/mountinfo (proc(5)): the file system type follows " - ". */
function findMountPoint(): string | null {
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [fields = '', type = ''] = line.split(' - ');
    if (type.startsWith('cgroup2 ')) return fields.split(' ')[4] ?? null;
  }
  return null;
}
