// engine: what the engine reports about itself and its host, as types. A part of engine-api.ts.

import type { Isolation } from '../config/readers.ts';
import type { HostBudget } from '../schema/system.ts';
import type { HypervisorFacts } from './ports/process-ports.ts';
import type { StateBackup } from './ports/store-ports.ts';
import type { KvmTrial } from './records.ts';

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
  /** Empty if the daemon is healthy. */
  readonly reasons: readonly HealthReason[];
  /** Problems that do not stop the daemon but need attention. */
  readonly warnings: readonly string[];
}

export interface SystemApi {
  /** At most a few seconds old. Never rejects. */
  health(): Promise<HealthReport>;
  status(): Promise<SystemStatus>;
  /** Counts for an overview, of VMs whose names begin with the prefix. Counts of zero are left out. */
  summary(namePrefix?: string): SystemSummary;
  /** Compares the host with the records. `repair` repairs what can be repaired. */
  audit(repair: boolean): Promise<AuditReport>;
  /**
   * A file that a manifest names as its OpenAPI document. Throws MEDIA_NOT_ALLOWED, MEDIA_INVALID or
   * DOCUMENT_NOT_FOUND.
   */
  readDocument(path: string): Promise<string>;
  /** Converts YAML to JSON. Throws DOCUMENT_UNREACHABLE if that is impossible. */
  documentToJson(text: string): Promise<string>;
  /** All records as one file. Throws OVERLOADED or STORE_UNAVAILABLE. */
  backup(): Promise<StateBackup>;
  /** What the daemon knows about itself and its host. Unknown facts are left out. */
  info(): Promise<SystemInfo>;
}

/** A difference between host and records. */
export interface AuditDifference {
  readonly kind: string;
  readonly subject: string;
  /** The VM concerned; null if it belongs to no VM. */
  readonly vm: string | null;
  /** What the operator can do; null if a repair is possible. */
  readonly remedy: string | null;
}

export interface AuditReport {
  readonly clean: boolean;
  readonly differences: readonly AuditDifference[];
  /** The number of differences that this audit repaired. */
  readonly repaired: number;
  /** VMs that are changing their state and were not checked. */
  readonly in_progress: readonly string[];
  /** The number of checked objects of each kind. */
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
  /** Guests in their boot phase. */
  readonly booting: number;
  /** Launches that wait for a boot slot. */
  readonly waiting: number;
  /** Guests that were launched again because of a broken clock. */
  readonly relaunched: number;
}

/** The facts of the hypervisor as the API shows them. */
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
  /** The name servers of guests, and why there are none. */
  readonly name_servers: { readonly servers: readonly string[]; readonly problem?: string };
  readonly boots: BootCounts;
  /** Connections to published ports that no guest accepted, since the start of the daemon. */
  readonly refused_connections: { readonly full: number; readonly unanswered: number };
  /** Null ids if hypervisors are not isolated. */
  readonly isolation: {
    readonly mode: Isolation;
    readonly first_uid: number | null;
    readonly last_uid: number | null;
  };
  readonly recovery: RecoveryReport | null;
}
