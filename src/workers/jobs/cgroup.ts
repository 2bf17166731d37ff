// workers, job: a cgroup for each hypervisor, where the host has cgroup version 2. Without one a VM
// runs all the same.

import { mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import type { JobArgument } from '../protocol.ts';
import { errnoOf, JobFault } from './fault.ts';

/** The last task of a cgroup may still be leaving it when its exit was seen. */
const REMOVE_TRIES_MAX = 50;
const REMOVE_PAUSE_MS = 10;

let mountPoint: string | null | undefined;

/** The directory of all cgroups of one daemon; null without cgroup version 2. */
export function cgroupRootOf(hostTag: string): string | null {
  mountPoint ??= findMountPoint();
  return mountPoint === null ? null : join(mountPoint, `volant-${hostTag}`);
}

/** Makes the cgroup and returns its cgroup.procs, or why there is none. */
export function makeCgroup(hostTag: string, name: string): { procs: string } | { reason: string } {
  const root = cgroupRootOf(hostTag);
  if (root === null) return { reason: 'cgroup version 2 is not mounted' };
  const directory = join(root, name);
  try {
    mkdirSync(directory, { recursive: true });
    return { procs: join(directory, 'cgroup.procs') };
  } catch (error) {
    return { reason: `cgroup cannot be made: ${errnoOf(error) ?? error}` };
  }
}

export function removeCgroup({ settings, cgroupName }: JobArgument<'removeCgroup'>): null {
  const root = cgroupRootOf(settings.hostTag);
  if (root !== null) removeDirectory(cgroupName === null ? root : join(root, cgroupName));
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

function removeDirectory(path: string): void {
  for (let tries = 1; ; tries += 1) {
    try {
      rmdirSync(path);
      return;
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === 'ENOENT') return;
      if (errno !== 'EBUSY' || tries >= REMOVE_TRIES_MAX) {
        throw new JobFault('HOST_OPERATION_FAILED', 'A cgroup could not be removed', error);
      }
      // This thread is here to wait.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, REMOVE_PAUSE_MS);
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
