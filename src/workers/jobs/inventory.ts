// workers, job: what is on the host that carries this daemon's tag.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type HostInventory, RUN_FILES } from '../../engine/ports.ts';
import { native } from '../native.ts';
import type { JobArgument } from '../protocol.ts';
import { listCgroups } from './cgroup.ts';
import { listDiskDirectories } from './disks.ts';
import { findHypervisors } from './hypervisor-processes.ts';
import { namesIn } from './if-present.ts';
import { bootId } from './process-facts.ts';

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
