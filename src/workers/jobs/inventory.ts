// workers, job: what is on the host that carries this daemon's tag.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type HostInventory, RUN_FILES } from '../../engine/ports.ts';
import type { ProcessIdentity } from '../../engine/records.ts';
import { native } from '../native.ts';
import type { JobArgument } from '../protocol.ts';
import { listCgroups } from './cgroup.ts';
import { listDiskDirectories } from './disks.ts';
import { errnoOf } from './fault.ts';
import { namesIn } from './if-present.ts';
import { bootId, startTimeOf } from './process-facts.ts';

export function takeInventory({ settings }: JobArgument<'takeInventory'>): HostInventory {
  const { hostTag, runtimeDirectory } = settings;
  const runDirectoryIds = namesIn(runtimeDirectory)
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  return {
    bootId: bootId(),
    tapNames: native.linkNames().filter((name) => name.startsWith(`vt${hostTag}-`)),
    runDirectoryIds,
    diskDirectoryIds: listDiskDirectories(settings.diskDirectory),
    processes: findProcesses(runtimeDirectory),
    cgroupNames: listCgroups(hostTag),
    orderlyExitIds: runDirectoryIds.filter(
      (id) => !existsSync(join(runtimeDirectory, String(id), RUN_FILES.pidFile)),
    ),
  };
}

/** Processes whose arguments name one of our run directories. */
function findProcesses(runtimeDirectory: string): { vmId: number; identity: ProcessIdentity }[] {
  const boot = bootId();
  const marker = `${runtimeDirectory}/`;
  const found: { vmId: number; identity: ProcessIdentity }[] = [];
  for (const name of namesIn('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const vmId = vmIdIn(commandLineOf(name), marker);
    const startTimeTicks = vmId === null ? null : startTimeOf(Number(name));
    if (vmId === null || startTimeTicks === null) continue;
    found.push({ vmId, identity: { pid: Number(name), startTimeTicks, bootId: boot } });
  }
  return found;
}

/** A hypervisor names its own directory more than once; an editor or a shell that shows a log does not. */
function vmIdIn(commandLine: string, marker: string): number | null {
  const parts = commandLine.split(marker);
  if (parts.length < 3) return null;
  const ids = new Set(parts.slice(1).map((part) => /^\d+/.exec(part)?.[0]));
  const [id] = ids;
  return ids.size === 1 && id !== undefined ? Number(id) : null;
}

function commandLineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch (error) {
    const errno = errnoOf(error) ?? '';
    // It has ended since, or belongs to somebody whom we may not look at.
    if (['ENOENT', 'ESRCH', 'EACCES'].includes(errno)) return '';
    throw error;
  }
}
