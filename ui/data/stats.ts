// ui, data: figures of VMs, of the host and of the daemon. A daemon without them answers ROUTE_NOT_FOUND, which pages tell.

import { path } from '../../src/client/http.ts';
import { readJson } from './api.ts';

/** Counters begin at 0 with each launch. What cannot be had is null, and `missing` says why. */
export interface VmStats {
  readonly running: boolean;
  readonly sampled_at: string | null;
  readonly uptime_seconds: number | null;
  readonly cpu: {
    readonly vcpus: number;
    readonly user_seconds: number;
    readonly system_seconds: number;
  } | null;
  readonly memory: { readonly guest_bytes: number; readonly resident_bytes: number } | null;
  readonly network: {
    readonly received_bytes: number;
    readonly received_dropped: number;
    readonly sent_bytes: number;
    readonly sent_dropped: number;
  } | null;
  readonly disks: readonly { readonly read_bytes: number; readonly written_bytes: number }[] | null;
  readonly missing: Readonly<Record<string, string>>;
}

export interface Queue {
  readonly name: string;
  readonly running: number;
  readonly capacity: number;
  readonly waiting: number;
  readonly waiting_max: number | null;
}

export interface SystemLoad {
  readonly sampled_at: string;
  readonly cpu: {
    readonly cores: number;
    readonly user_seconds: number;
    readonly system_seconds: number;
    readonly idle_seconds: number;
    readonly iowait_seconds: number;
  };
  readonly memory: { readonly total_bytes: number; readonly available_bytes: number };
  readonly daemon: {
    readonly user_seconds: number;
    readonly system_seconds: number;
    readonly resident_bytes: number;
    readonly event_loop_delay_ms: {
      readonly mean: number;
      readonly p99: number;
      readonly max: number;
    };
  };
  readonly queues: readonly Queue[];
}

export const readVmStats = (name: string, signal: AbortSignal): Promise<VmStats> =>
  readJson(path`/api/v1/vms/${name}/stats`, signal);

export const readSystemLoad = (signal: AbortSignal): Promise<SystemLoad> =>
  readJson('/api/v1/system/load', signal);
