// engine, ports: what the engine needs of the host, by subject. Each part of the engine takes only the subjects that it
// needs. src/host implements them. No code.

import type { DeviceHost } from './device-ports.ts';
import type { MediaHost } from './media-ports.ts';
import type { NetworkHost } from './network-ports.ts';
import type { ProcessHost } from './process-ports.ts';
import type { StatsHost } from './stats-ports.ts';

/** The host as a whole, and the worker threads. A part of HostPorts. */
export interface SystemHost {
  /** CPU and memory usage of the whole host, in percent from 0 to 100, always finite. */
  usage(): Promise<{ readonly cpuPercent: number; readonly memPercent: number }>;
  /** The memory and cores that the daemon and its VMs may use. */
  size(): { readonly memoryMb: number; readonly cpuCores: number };
  /** Resolves when a thread has carried out a job; at once if one did so within the last `recentMs`. */
  probeThreads(recentMs: number): Promise<void>;
  /** The number of jobs that exceeded their deadline and have not returned: something on the host hangs. */
  hangingJobs(): number;
}

/**
 * Work that may block. Unless it says otherwise, a method runs on a worker thread. Every method rejects with a
 * VolantError.
 */
export interface HostPorts {
  readonly network: NetworkHost;
  readonly media: MediaHost;
  readonly devices: DeviceHost;
  readonly processes: ProcessHost;
  readonly system: SystemHost;
  readonly stats: StatsHost;
}
