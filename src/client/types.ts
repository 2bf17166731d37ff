// client: the nouns of the API as a program sees them. Most are the schema's own types; here are
// those that the schema does not name, and the options that several groups share.

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
  PatchDeploymentRequest,
} from '../schema/deployment.ts';
export type { Manifest, ManifestInput } from '../schema/manifest.ts';
export type { SystemStatus } from '../schema/system.ts';
export type { CreateVmRequest, Vm, VmStatus } from '../schema/vm.ts';
export type { VmConfig, VmConfigInput } from '../schema/vm-config.ts';

/** How far an operation must be before it is answered; `ready` is the health check of the manifest. */
export type WaitFor = 'accepted' | 'running' | 'ready';

/** For operations that go on in the background. */
export interface WaitOptions extends CallOptions {
  readonly wait?: WaitFor;
  /** The daemon answers WAIT_TIMEOUT after this; the operation goes on. */
  readonly waitTimeoutMs?: number;
  /** The same key makes a repeated request answer what the first one did. Allows retries. */
  readonly idempotencyKey?: string;
}

/** For operations that end a guest. */
export interface EndOptions extends CallOptions {
  /** Whole seconds that the guest gets to power off; without it the VM's config says, or the daemon. */
  readonly graceSeconds?: number;
}

export interface IdempotentOptions extends CallOptions {
  readonly idempotencyKey?: string;
}

/** What an operation would do; beside these, the resource as it would be. */
export interface DryRun {
  readonly dry_run: true;
  readonly actions: readonly { readonly action: string; readonly subject: string }[];
  /** The resolved config, where one was made. */
  readonly config?: VmConfig;
  readonly [fact: string]: unknown;
}

export interface VmQuery {
  readonly status?: readonly VmStatus[];
  readonly runtime?: string;
  readonly plugin?: string;
  /** Part of name, address or runtime. */
  readonly q?: string;
  readonly sort?: 'name' | 'status' | 'runtime' | 'created_at' | 'updated_at';
  readonly order?: 'asc' | 'desc';
  readonly limit?: number;
  readonly offset?: number;
}

/** One event of a stream. */
export type VolantEvent = EventData & {
  /** Its number; null in a RESYNC of the client's own, when no number was seen before the loss. */
  readonly id: number | null;
};

export interface EventFilter {
  /** Names of VMs. */
  readonly name?: readonly string[];
  readonly type?: readonly string[];
  readonly deployment?: readonly string[];
  /** Begin after the event of this number; 0 is all that are kept. Without it: what comes next. */
  readonly after?: number;
}

/** One line that a workload wrote. */
export interface LogLine {
  readonly name: string;
  readonly stream: string;
  readonly line: string;
  readonly timestamp: string;
}

/** What of the daemon's facts cannot be known is left out, or is an `error` in words. */
export type SystemInfo = Omit<SystemFacts, 'hypervisor' | 'kernel' | 'recovery'> & {
  readonly hypervisor: Readonly<Record<string, unknown>>;
  readonly kernel: Readonly<Record<string, unknown>>;
  readonly recovery: Readonly<Record<string, unknown>> | null;
};

/** What was done for a VM, from when something was wanted until nothing was left to be done. */
export interface VmOperation {
  readonly number: number;
  /** create, start, stop, restart, delete; reconcile: nobody asked for it. */
  readonly kind: string;
  /** request, deployment, exit, daemon. */
  readonly cause: string;
  /** Of the request that is behind it. */
  readonly request_id?: string;
  readonly started_at: string;
  /** null while it is under way. */
  readonly ended_at: string | null;
  /** running, done, failed, superseded. */
  readonly outcome: string;
  readonly error: string | null;
  readonly steps: readonly {
    readonly step: string;
    /** In a row, with the same result. */
    readonly times: number;
    /** Of the last time. */
    readonly duration_ms: number;
    readonly error: string | null;
  }[];
}

export interface AuditReport {
  /** The host is as the records say. */
  readonly clean: boolean;
  readonly differences: readonly {
    readonly kind: string;
    readonly subject: string;
    /** null: no VM has what is there. */
    readonly vm: string | null;
    /** null: a repair puts it in line. */
    readonly remedy: string | null;
  }[];
  readonly repaired: number;
  /** VMs on their way from one status to another. */
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
  /** The command failed; the answer's status is 200 all the same. */
  readonly error?: string;
}
