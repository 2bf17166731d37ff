// engine, ports: what the engine needs to know of the load of VMs, host and worker threads. No code except shared names.

import type { Family } from '../../lib/metrics/family.ts';
import type { Queue } from '../../schema/stats.ts';

export type { Queue } from '../../schema/stats.ts';

/** A hypervisor to read the figures of. */
export interface MeteredVm {
  readonly pid: number;
  /** Another process that got the pid later has another one. */
  readonly startTimeTicks: number;
  /** null: the VM has no network card. */
  readonly tapName: string | null;
  readonly cgroupName: string;
}

/**
 * The figures of a VM in a reading, as positions in its row. A figure that could not be read is NaN. Network figures are
 * as the guest sees them.
 */
export const FIGURE = {
  uptimeSeconds: 0,
  userSeconds: 1,
  systemSeconds: 2,
  residentBytes: 3,
  cgroupMemoryBytes: 4,
  /** Infinity without a limit. */
  cgroupLimitBytes: 5,
  cgroupTasks: 6,
  cgroupThrottledSeconds: 7,
  receivedBytes: 8,
  receivedPackets: 9,
  receivedDropped: 10,
  sentBytes: 11,
  sentPackets: 12,
  sentDropped: 13,
} as const;

export const FIGURES = Object.keys(FIGURE).length;

/** The figures of several VMs, read at once. */
export interface VmsReading {
  readonly readAtMs: number;
  /** A row of FIGURES numbers for each VM, in the requested order. */
  readonly figures: Float64Array<ArrayBuffer>;
}

/** Counters of the host since its boot, and what it has now. */
export interface HostReading {
  readonly readAtMs: number;
  readonly userSeconds: number;
  readonly systemSeconds: number;
  readonly idleSeconds: number;
  readonly iowaitSeconds: number;
  readonly stealSeconds: number;
  readonly memoryTotalBytes: number;
  readonly memoryAvailableBytes: number;
  readonly swapTotalBytes: number;
  readonly swapFreeBytes: number;
  readonly loadAverages: readonly [oneMinute: number, fiveMinutes: number, fifteenMinutes: number];
}

/** Readings of the kernel's counters, and of the worker threads. A part of HostPorts. */
export interface StatsHost {
  /** One job, however many VMs there are. */
  readVms(vms: readonly MeteredVm[]): Promise<VmsReading>;
  readHost(): Promise<HostReading>;
  /** The queues of the worker threads. */
  queues(): readonly Queue[];
  /** Metrics of jobs and threads. */
  families(): readonly Family[];
}
