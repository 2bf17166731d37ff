// engine: what the engine reports in figures, as types. A part of engine-api.ts.

import type { Family } from '../lib/metrics/family.ts';
import type { Queue, SystemLoad, VmStats } from '../schema/stats.ts';

export interface VmStatsQuery {
  /** Only VMs whose names begin with this; empty for all. */
  readonly namePrefix: string;
  readonly limit: number;
  readonly offset: number;
}

export interface VmStatsPage {
  readonly stats: readonly VmStats[];
  /** Matching VMs before limit and offset. */
  readonly total: number;
}

/** Readings of about the last second are shared by all callers. Methods throw OVERLOADED or HOST_TIMEOUT. */
export interface StatsApi {
  /** Throws VM_NOT_FOUND. Of a VM that does not run all figures are null. */
  vm(name: string): Promise<VmStats>;
  /** VMs that run, by name. One reading, however many there are. */
  list(query: VmStatsQuery): Promise<VmStatsPage>;
  load(): Promise<SystemLoad>;
  /** The queues of the engine and of worker threads. */
  queues(): readonly Queue[];
  /** The metrics of the engine and of what it uses. Figures that cannot be read are left out; never rejects. */
  families(): Promise<readonly Family[]>;
}
