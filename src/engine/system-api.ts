// engine: what the engine tells of itself and of its host, as types. Part of engine-api.ts.

import type { Isolation } from '../config/readers.ts';
import type { HostBudget } from '../schema/system.ts';
import type { HypervisorFacts } from './ports.ts';
import type { KvmTrial } from './records.ts';
import type { StateBackup } from './store-ports.ts';

export interface SystemStatus {
  readonly vm_count: number;
  readonly cpu_percent: number;
  readonly mem_percent: number;
  readonly budget: HostBudget;
}

export interface SystemSummary {
  readonly total_vms: number;
  readonly by_status: Readonly<Record<string, number>>;
  readonly by_runtime: Readonly<Record<string, number>>;
  readonly total_plugins: number;
  readonly enabled_plugins: number;
  readonly plugins: readonly {
    readonly name: string;
    readonly version: string;
    readonly enabled: boolean;
  }[];
}

/** Why the daemon cannot do its work now. */
export type HealthReason =
  | 'STORE_UNAVAILABLE'
  | 'STORE_STUCK'
  | 'DISK_FULL'
  | 'WORKERS_STUCK'
  | 'LOOP_STALLED';

export interface HealthReport {
  /** Empty: it is healthy. */
  readonly reasons: readonly HealthReason[];
  /** What works in spite of them, and a person should look at. */
  readonly warnings: readonly string[];
}

export interface SystemApi {
  /** At most a few seconds old. Never rejects. */
  health(): Promise<HealthReport>;
  status(): Promise<SystemStatus>;
  /** Counts for an overview, of VMs whose names begin with the prefix; what no VM has is left out. */
  summary(namePrefix?: string): SystemSummary;
  /** Compares the host with the records; `repair` puts in line what can be. */
  audit(repair: boolean): Promise<AuditReport>;
  /** A file that a manifest names as its OpenAPI document. MEDIA_NOT_ALLOWED, MEDIA_INVALID, DOCUMENT_NOT_FOUND. */
  readDocument(path: string): Promise<string>;
  /** Of a text in YAML. DOCUMENT_UNREACHABLE where it cannot be made JSON. */
  documentToJson(text: string): Promise<string>;
  /** All records as one file, of all VMs. OVERLOADED, STORE_UNAVAILABLE. */
  backup(): Promise<StateBackup>;
  /** What the daemon knows about itself and its host; undefined facts are left out. */
  info(): Promise<SystemInfo>;
}

/** One place where host and records differ. */
export interface AuditDifference {
  readonly kind: string;
  readonly subject: string;
  /** The VM that it concerns; null when no VM has what is there. */
  readonly vm: string | null;
  /** What to do about it; null: a repair puts it in line. */
  readonly remedy: string | null;
}

export interface AuditReport {
  readonly clean: boolean;
  readonly differences: readonly AuditDifference[];
  /** Differences that were put in line by this look. */
  readonly repaired: number;
  /** VMs that are on their way from one status to another: nothing is said about them. */
  readonly in_progress: readonly string[];
  /** How many of each were looked at. */
  readonly checked: Readonly<Record<string, number>>;
  readonly duration_ms: number;
}

export interface RecoveryReport {
  readonly adopted: number;
  readonly crashed: number;
  readonly stopped: number;
  readonly undone: number;
  readonly swept: number;
  readonly durationMs: number;
}

export interface BootCounts {
  /** Guests that were launched and not heard of yet. */
  readonly booting: number;
  /** Launches that wait for a place among them. */
  readonly waiting: number;
  /** Guests that came up with a broken clock and were launched again. */
  readonly relaunched: number;
}

/** Facts of the hypervisor as they are shown. */
export type ShownHypervisor = Omit<HypervisorFacts, 'kvmTrial'> & {
  readonly kvmTrial:
    | (Omit<KvmTrial, 'triedAtMs'> & {
        readonly triedAt: string;
      })
    | null;
};

export interface SystemInfo {
  readonly version: string;
  readonly host_ip: string;
  readonly bridge: string;
  readonly subnet: string;
  readonly hypervisor: ShownHypervisor | { readonly error: string };
  readonly kernel: { readonly path: string } | { readonly error: string };
  /** Those that guests are told, and why there are none. */
  readonly name_servers: { readonly servers: readonly string[]; readonly problem?: string };
  readonly boots: BootCounts;
  /** Connections to host ports through agents that no guest took, since the start of the daemon. */
  readonly refused_connections: { readonly full: number; readonly unanswered: number };
  /** Null users where hypervisors are not isolated. */
  readonly isolation: {
    readonly mode: Isolation;
    readonly first_uid: number | null;
    readonly last_uid: number | null;
  };
  readonly recovery: RecoveryReport | null;
}
