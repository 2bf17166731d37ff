// client: the nouns of the API for programs. Most are the schema's own types; this file adds those that the schema does not
// name, and options that several groups share.

import type { EventData } from '../schema/event.ts';
import type { SystemFacts } from '../schema/system.ts';
import type { VmStatus } from '../schema/vm.ts';
import type { VmConfig } from '../schema/vm-config.ts';
import type { CallOptions } from './http.ts';

export type { Artifact, ArtifactInput } from '../schema/artifact.ts';
export type {
  ConfigEnvelope,
  ConfigHistory,
  ConfigPatch,
} from '../schema/config-patch.ts';
export type {
  CreateDeploymentRequest,
  Deployment,
  DeploymentRevision,
  PatchDeploymentRequest,
  RollbackRequest,
} from '../schema/deployment.ts';
export type { EgressInput, EgressStatus } from '../schema/egress.ts';
export type { CreateExec, Exec, ExecInput } from '../schema/exec.ts';
export type { FileChange, FileFacts, FileWatchEvent, GuestFile } from '../schema/file.ts';
export type { Image, ImageList } from '../schema/image.ts';
export type { Manifest, ManifestInput } from '../schema/manifest.ts';
export type { SystemLoad, VmStats } from '../schema/stats.ts';
export type { SystemStatus } from '../schema/system.ts';
export type { CreateVmRequest, Vm, VmResult, VmStatus } from '../schema/vm.ts';
export type { VmConfig, VmConfigInput } from '../schema/vm-config.ts';

/** The state in which an operation is answered; `ready` means that the health check of the manifest passes. */
export type WaitFor = 'accepted' | 'running' | 'ready';

/** As WaitFor, for one VM; `exited` means that its workload has ended and is not started again. */
export type VmWaitFor = WaitFor | 'exited';

/** For operations that continue in the background. */
export interface WaitOptions<Goal extends VmWaitFor = WaitFor> extends CallOptions {
  readonly wait?: Goal;
  /** The daemon answers WAIT_TIMEOUT after this; the operation continues. */
  readonly waitTimeoutMs?: number;
  /** A repeated request with the same key gets the answer of the first one. Allows retries. */
  readonly idempotencyKey?: string;
}

/** For operations that end a guest. */
export interface EndOptions extends CallOptions {
  /** The grace period in whole seconds; by default that of the VM's config, or of the daemon. */
  readonly graceSeconds?: number;
}

export interface IdempotentOptions extends CallOptions {
  readonly idempotencyKey?: string;
}

/** What an operation would do, in addition to the resource as it would be. */
export interface DryRun {
  readonly dry_run: true;
  readonly actions: readonly { readonly action: string; readonly subject: string }[];
  /** The resolved config, if there is one. */
  readonly config?: VmConfig;
  readonly [fact: string]: unknown;
}

export interface VmQuery {
  readonly status?: readonly VmStatus[];
  readonly runtime?: string;
  readonly plugin?: string;
  /** Part of the name, address or runtime. */
  readonly q?: string;
  readonly sort?: 'name' | 'status' | 'runtime' | 'created_at' | 'updated_at';
  readonly order?: 'asc' | 'desc';
  readonly limit?: number;
  readonly offset?: number;
}

/** One event of a stream. */
export type VolantEvent = EventData & {
  /** Number of the event; null in a RESYNC of the client itself, if the connection was lost before the first number. */
  readonly id: number | null;
};

export interface EventFilter {
  /** Names of VMs. */
  readonly name?: readonly string[];
  readonly type?: readonly string[];
  readonly deployment?: readonly string[];
  /** Start after the event with this number; 0 means all stored events. By default only future events. */
  readonly after?: number;
}

/** One line that a workload wrote. */
export interface LogLine {
  readonly name: string;
  readonly stream: string;
  readonly line: string;
  readonly timestamp: string;
}

/** Facts that are unknown are left out, or replaced by an `error` message. */
export type SystemInfo = Omit<SystemFacts, 'hypervisor' | 'kernel' | 'recovery'> & {
  readonly hypervisor: Readonly<Record<string, unknown>>;
  readonly kernel: Readonly<Record<string, unknown>>;
  readonly recovery: Readonly<Record<string, unknown>> | null;
};

/** An operation on a VM, from the change of its wanted state until nothing was left to do. */
export interface VmOperation {
  readonly number: number;
  /** create, start, stop, restart, delete; reconcile: started by the daemon itself. */
  readonly kind: string;
  /** request, deployment, exit, daemon. */
  readonly cause: string;
  /** Id of the request that caused it. */
  readonly request_id?: string;
  readonly started_at: string;
  /** null while it is running. */
  readonly ended_at: string | null;
  /** running, done, failed, superseded. */
  readonly outcome: string;
  readonly error: string | null;
  readonly steps: readonly {
    readonly step: string;
    /** Number of consecutive runs with the same result. */
    readonly times: number;
    /** Duration of the last run. */
    readonly duration_ms: number;
    readonly error: string | null;
  }[];
}

export interface AuditReport {
  /** true: the host matches the records. */
  readonly clean: boolean;
  readonly differences: readonly {
    readonly kind: string;
    readonly subject: string;
    /** null: it belongs to no VM. */
    readonly vm: string | null;
    /** null: a repair fixes it. */
    readonly remedy: string | null;
  }[];
  readonly repaired: number;
  /** VMs that change their status. */
  readonly in_progress: readonly string[];
  readonly checked: Readonly<Record<string, number>>;
  readonly duration_ms: number;
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

export interface McpAnswer {
  readonly result: unknown;
  /** Set if the command failed; the status of the answer is 200 in both cases. */
  readonly error?: string;
}
