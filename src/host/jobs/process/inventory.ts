// jobs, process: lists everything on the host that belongs to this daemon: taps, run directories, disks, hypervisors,
// cgroups.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { RUN_FILES } from '../../../engine/ports/hypervisor-ports.ts';
import type { HostInventory } from '../../../engine/ports/process-ports.ts';
import { bootId } from '../../../lib/clock.ts';
import { namesIn } from '../if-present.ts';
import { listDiskDirectories } from '../media/disks.ts';
import { native } from '../native.ts';
import type { JobArgument } from '../protocol.ts';
import { listCgroups } from './cgroup.ts';
import { findHypervisors } from './hypervisor-processes.ts';

/** Lists it. Only reads. */
export function takeInventory({ settings }: JobArgument<'takeInventory'>): HostInventory {
  const { hostTag, homeId, runtimeDirectory } = settings;
  const runDirectoryIds = namesIn(runtimeDirectory)
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  return {
    bootId: bootId(),
    tapNames: native.linkNames().filter((name) => name.startsWith(`vt${hostTag}-`)),
    runDirectoryIds,
    diskDirectoryIds: listDiskDirectories(settings.diskDirectory),
    processes: findHypervisors(runtimeDirectory, homeId),
    cgroupNames: listCgroups(hostTag),
    orderlyExitIds: runDirectoryIds.filter(
      (id) => !existsSync(join(runtimeDirectory, String(id), RUN_FILES.pidFile)),
    ),
  };
}
