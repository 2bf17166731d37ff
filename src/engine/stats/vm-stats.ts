// engine, stats: a reading of a VM in the shape of the API: figures, null, and the reasons for null. Pure.

import { toTimestamp } from '../../lib/clock.ts';
import type { VmStats } from '../../schema/stats.ts';
import { FIGURE } from '../ports/stats-ports.ts';
import type { VmRecord } from '../records.ts';
import type { VmSample } from './vm-sampler.ts';

export const MIB = 2 ** 20;

const FIGURE_MEMBERS = ['uptime_seconds', 'cpu', 'memory', 'cgroup', 'network', 'disks'] as const;

const NO_HYPERVISOR = 'No hypervisor of this VM runs';
const ENDED = 'The hypervisor ended while it was read';
const NO_CONTROLLERS =
  'The host does not count it: it lacks the controllers memory, pids and cpu of cgroup version 2';
const NO_CARD = 'The VM has no network card';
const NO_TAP = 'The tap of the VM is missing';

/** The size that the current launch has, not that of a later config. */
export function launchedSizeOf({ wanted, cpuCores, memoryMb }: VmRecord) {
  return wanted.size ?? { cpuCores, memoryMb };
}

/** The answer for a VM without a hypervisor. */
export function notRunning(name: string): VmStats {
  return {
    name,
    running: false,
    sampled_at: null,
    uptime_seconds: null,
    cpu: null,
    memory: null,
    cgroup: null,
    network: null,
    disks: null,
    missing: Object.fromEntries(FIGURE_MEMBERS.map((member) => [member, NO_HYPERVISOR])),
  };
}

export function statsOf({ record, row, disks }: VmSample, readAtMs: number): VmStats {
  const hasEnded = Number.isNaN(row[FIGURE.userSeconds]);
  const { cpuCores, memoryMb } = launchedSizeOf(record);
  const figure = (name: keyof typeof FIGURE) => row[FIGURE[name]] ?? Number.NaN;
  const cgroup = cgroupOf(figure);
  const network = networkOf(figure);
  const missing: Record<string, string> = {};
  if (hasEnded) {
    for (const member of FIGURE_MEMBERS) if (member !== 'disks') missing[member] = ENDED;
  } else {
    if (cgroup === null) missing['cgroup'] = NO_CONTROLLERS;
    if (network === null) missing['network'] = record.leases.tapName === null ? NO_CARD : NO_TAP;
  }
  if ('missing' in disks) missing['disks'] = disks.missing;
  return {
    name: record.name,
    running: true,
    sampled_at: toTimestamp(readAtMs),
    uptime_seconds: orNull(figure('uptimeSeconds')),
    cpu: hasEnded
      ? null
      : {
          vcpus: cpuCores,
          user_seconds: figure('userSeconds'),
          system_seconds: figure('systemSeconds'),
        },
    memory: hasEnded
      ? null
      : { guest_bytes: memoryMb * MIB, resident_bytes: figure('residentBytes') },
    cgroup,
    network,
    disks: 'missing' in disks ? null : disks.map(diskOf),
    missing,
  };
}

type ReadFigure = (name: keyof typeof FIGURE) => number;

function cgroupOf(figure: ReadFigure): VmStats['cgroup'] {
  const cgroup = {
    memory_bytes: orNull(figure('cgroupMemoryBytes')),
    memory_limit_bytes: orNull(figure('cgroupLimitBytes')),
    tasks: orNull(figure('cgroupTasks')),
    throttled_seconds: orNull(figure('cgroupThrottledSeconds')),
  };
  return Object.values(cgroup).every((value) => value === null) ? null : cgroup;
}

function networkOf(figure: ReadFigure): VmStats['network'] {
  if (Number.isNaN(figure('receivedBytes'))) return null;
  return {
    received_bytes: figure('receivedBytes'),
    received_packets: figure('receivedPackets'),
    received_dropped: figure('receivedDropped'),
    sent_bytes: figure('sentBytes'),
    sent_packets: figure('sentPackets'),
    sent_dropped: figure('sentDropped'),
  };
}

function diskOf(disk: Exclude<VmSample['disks'], { missing: string }>[number]) {
  return {
    device: disk.device,
    read_bytes: disk.readBytes,
    read_operations: disk.readOperations,
    written_bytes: disk.writtenBytes,
    write_operations: disk.writeOperations,
    flush_operations: disk.flushOperations,
  };
}

function orNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
