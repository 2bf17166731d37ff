// cli: what VMs use per second: two readings of their counters, compared. Pure.

import type { SystemLoad, VmStats } from '../../client/types.ts';

export type UsageOrder = 'cpu' | 'memory' | 'network' | 'disk' | 'name';

/** What a VM used between two readings, for programs. null: not known. */
export interface VmUsage {
  readonly name: string;
  /** 100 is one processor of the host. */
  readonly cpu_percent: number | null;
  readonly vcpus: number | null;
  readonly memory_resident_bytes: number | null;
  readonly memory_guest_bytes: number | null;
  readonly received_bytes_per_second: number | null;
  readonly sent_bytes_per_second: number | null;
  readonly read_bytes_per_second: number | null;
  readonly written_bytes_per_second: number | null;
  readonly uptime_seconds: number | null;
}

/** The VMs of the later reading. One without an earlier reading of the same launch has no rates. */
export function usageOf(before: readonly VmStats[], after: readonly VmStats[]): readonly VmUsage[] {
  const earlier = new Map(before.map((stats) => [stats.name, stats]));
  return after.map((stats) => vmUsage(earlier.get(stats.name), stats));
}

function vmUsage(before: VmStats | undefined, after: VmStats): VmUsage {
  const seconds = secondsBetween(before, after);
  const rate = (counter: (stats: VmStats) => number | null): number | null => {
    const earlier = before === undefined ? null : counter(before);
    const later = counter(after);
    if (seconds === null || earlier === null || later === null) return null;
    return Math.max(0, later - earlier) / seconds;
  };
  const cpu = rate((stats) => stats.cpu && stats.cpu.user_seconds + stats.cpu.system_seconds);
  return {
    name: after.name,
    cpu_percent: cpu === null ? null : cpu * 100,
    vcpus: after.cpu?.vcpus ?? null,
    memory_resident_bytes: after.memory?.resident_bytes ?? null,
    memory_guest_bytes: after.memory?.guest_bytes ?? null,
    received_bytes_per_second: rate(({ network }) => network?.received_bytes ?? null),
    sent_bytes_per_second: rate(({ network }) => network?.sent_bytes ?? null),
    read_bytes_per_second: rate((stats) => sumOf(stats, 'read_bytes')),
    written_bytes_per_second: rate((stats) => sumOf(stats, 'written_bytes')),
    uptime_seconds: after.uptime_seconds,
  };
}

function sumOf({ disks }: VmStats, member: 'read_bytes' | 'written_bytes'): number | null {
  return disks?.reduce((sum, disk) => sum + disk[member], 0) ?? null;
}

/** null if the two cannot be compared: a hypervisor that was launched in between counts from 0. */
function secondsBetween(before: VmStats | undefined, after: VmStats): number | null {
  const times = [before?.sampled_at, after.sampled_at].map((text) => Date.parse(text ?? ''));
  const [earlierMs = Number.NaN, laterMs = Number.NaN] = times;
  const isSameLaunch = (after.uptime_seconds ?? 0) >= (before?.uptime_seconds ?? 0);
  return laterMs > earlierMs && isSameLaunch ? (laterMs - earlierMs) / 1000 : null;
}

/** The share of all processors that were busy between two readings; null if they are of the same moment. */
export function hostCpuPercent(before: SystemLoad, after: SystemLoad): number | null {
  const busy = ({ cpu }: SystemLoad) => cpu.user_seconds + cpu.system_seconds + cpu.steal_seconds;
  const all = (load: SystemLoad) => busy(load) + load.cpu.idle_seconds + load.cpu.iowait_seconds;
  const total = all(after) - all(before);
  return total > 0 ? (100 * Math.max(0, busy(after) - busy(before))) / total : null;
}

/** The greatest first; names in their natural order. What is not known comes last. */
export function sortUsage(
  usage: readonly VmUsage[],
  order: UsageOrder,
  byName: (one: VmUsage, other: VmUsage) => number,
): readonly VmUsage[] {
  if (order === 'name') return usage.toSorted(byName);
  const value = VALUES[order];
  return usage.toSorted((one, other) => value(other) - value(one) || byName(one, other));
}

const VALUES: Readonly<Record<Exclude<UsageOrder, 'name'>, (usage: VmUsage) => number>> = {
  cpu: ({ cpu_percent }) => cpu_percent ?? -1,
  memory: ({ memory_resident_bytes }) => memory_resident_bytes ?? -1,
  network: (usage) => both(usage.received_bytes_per_second, usage.sent_bytes_per_second),
  disk: (usage) => both(usage.read_bytes_per_second, usage.written_bytes_per_second),
};

function both(one: number | null, other: number | null): number {
  return one === null || other === null ? -1 : one + other;
}
