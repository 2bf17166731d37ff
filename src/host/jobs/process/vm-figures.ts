// jobs, process: reads what the kernel counted for hypervisors: CPU time, memory, cgroup, and the counters of their taps.
// One job reads all of them, so it avoids what costs time for each file.

import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { FIGURE, FIGURES } from '../../../engine/ports/stats-ports.ts';
import { errnoOf } from '../fault.ts';
import type { JobArgument, JobResult } from '../protocol.ts';
import { cgroupRootOf } from './cgroup.ts';
import { TICKS_PER_SECOND } from './host-readings.ts';

/** The size of a page of memory on x86-64. */
const PAGE_BYTES = 4096;

const MICROSECONDS = 1e6;

/** A file of a process or cgroup that ended, or that this kernel does not have. */
const ABSENT = ['ENOENT', 'ESRCH', 'ENODEV'];

/** Larger than any of the files that are read with it. */
const buffer = Buffer.alloc(16 * 1024);

/** Positions of fields in /proc/<pid>/stat (proc(5)), counted from field 3, which follows the name. */
const STAT = {
  state: 0,
  userTicks: 11,
  systemTicks: 12,
  startTicks: 19,
  residentPages: 21,
} as const;

/** Positions of a link's counters in /proc/net/dev, after its name. The host receives what the guest sends. */
const LINK_COUNTERS = [
  [FIGURE.sentBytes, 0],
  [FIGURE.sentPackets, 1],
  [FIGURE.sentDropped, 3],
  [FIGURE.receivedBytes, 8],
  [FIGURE.receivedPackets, 9],
  [FIGURE.receivedDropped, 11],
] as const;

/** Reads all figures of these VMs. Only reads. */
export function readVms({ settings, vms }: JobArgument<'readVms'>): JobResult<'readVms'> {
  const { processes } = vms;
  const tapNames = vms.tapNames.split(' ');
  const cgroupNames = vms.cgroupNames.split(' ');
  const count = processes.length / 2;
  const figures = new Float64Array(count * FIGURES).fill(Number.NaN);
  const links = tapNames.some((name) => name !== '-') ? linkCounters(settings.hostTag) : null;
  const cgroups = cgroupRootOf(settings.hostTag);
  const controllers = cgroups === null ? [] : controllersIn(cgroups);
  const uptimeSeconds = Number(textOf('/proc/uptime')?.split(' ')[0]);
  for (let index = 0; index < count; index += 1) {
    const row = figures.subarray(index * FIGURES, (index + 1) * FIGURES);
    const [pid = 0, startTimeTicks = 0] = processes.subarray(index * 2, index * 2 + 2);
    if (!readProcess(row, pid, startTimeTicks, uptimeSeconds)) continue;
    if (cgroups !== null) readCgroup(row, join(cgroups, cgroupNames[index] ?? ''), controllers);
    const counters = links?.get(tapNames[index] ?? '-');
    if (counters === undefined) continue;
    for (const [figure, position] of LINK_COUNTERS) row[figure] = Number(counters[position]);
  }
  return { readAtMs: Date.now(), figures };
}

/** Returns whether the process lives and is the one that is meant. */
function readProcess(
  row: Float64Array,
  pid: number,
  startTimeTicks: number,
  hostUptimeSeconds: number,
): boolean {
  const stat = textOf(`/proc/${pid}/stat`);
  if (stat === null) return false;
  // The name in field 2 may contain anything; it ends with the last closing bracket of the line.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const number = (position: number) => Number(fields[position]);
  if (fields[STAT.state] === 'Z' || number(STAT.startTicks) !== startTimeTicks) return false;
  const uptimeTicks = Math.round(hostUptimeSeconds * TICKS_PER_SECOND) - startTimeTicks;
  row[FIGURE.uptimeSeconds] = Math.max(0, uptimeTicks) / TICKS_PER_SECOND;
  row[FIGURE.userSeconds] = number(STAT.userTicks) / TICKS_PER_SECOND;
  row[FIGURE.systemSeconds] = number(STAT.systemTicks) / TICKS_PER_SECOND;
  row[FIGURE.residentBytes] = number(STAT.residentPages) * PAGE_BYTES;
  return true;
}

/** The controllers that the cgroups below this one have. Looking for files that are missing costs more than reading. */
function controllersIn(directory: string): readonly string[] {
  return textOf(`${directory}/cgroup.subtree_control`)?.trim().split(' ') ?? [];
}

/** Documentation/admin-guide/cgroup-v2.rst. */
function readCgroup(row: Float64Array, directory: string, controllers: readonly string[]): void {
  const memory = controllers.includes('memory') ? textOf(`${directory}/memory.current`) : null;
  if (memory !== null) {
    row[FIGURE.cgroupMemoryBytes] = Number(memory);
    const limit = textOf(`${directory}/memory.max`)?.trim();
    row[FIGURE.cgroupLimitBytes] = limit === 'max' ? Number.POSITIVE_INFINITY : Number(limit);
  }
  const tasks = controllers.includes('pids') ? textOf(`${directory}/pids.current`) : null;
  if (tasks !== null) row[FIGURE.cgroupTasks] = Number(tasks);
  const cpu = controllers.includes('cpu') ? textOf(`${directory}/cpu.stat`) : null;
  const throttled = /^throttled_usec (\d+)$/m.exec(cpu ?? '');
  if (throttled !== null) {
    row[FIGURE.cgroupThrottledSeconds] = Number(throttled[1]) / MICROSECONDS;
  }
}

/** The counters of this daemon's taps by their names, as texts, all from one file. */
function linkCounters(hostTag: string): ReadonlyMap<string, readonly string[]> {
  const links = new Map<string, readonly string[]>();
  const isOurs = `vt${hostTag}-`;
  for (const line of readFileSync('/proc/net/dev', 'latin1').split('\n')) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).trim();
    if (name.startsWith(isOurs))
      links.set(
        name,
        line
          .slice(colon + 1)
          .trim()
          .split(/ +/),
      );
  }
  return links;
}

/** The text of a small file; null if it is not there. Cheaper than readFileSync, which looks for the size first. */
function textOf(path: string): string | null {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch (error) {
    if (ABSENT.includes(errnoOf(error) ?? '')) return null;
    throw error;
  }
  try {
    return buffer.toString('latin1', 0, readSync(descriptor, buffer, 0, buffer.length, 0));
  } catch (error) {
    if (ABSENT.includes(errnoOf(error) ?? '')) return null;
    throw error;
  } finally {
    closeSync(descriptor);
  }
}
