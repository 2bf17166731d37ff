// engine: what the engine offers to http, as types. http sees this and nothing behind it.

import type { VolantError } from '../lib/errors.ts';
import type { Artifact, ArtifactInput } from '../schema/artifact.ts';
import type { ConfigEnvelope, ConfigHistory, ConfigPatch } from '../schema/config-patch.ts';
import type {
  CreateDeploymentRequest,
  Deployment,
  PatchDeploymentRequest,
} from '../schema/deployment.ts';
import type { Manifest, ManifestInput } from '../schema/manifest.ts';
import type { DeviceInfo, DevicesCheck, DevicesValid, IommuGroup } from '../schema/vfio.ts';
import type { CreateVmRequest, Vm, VmStatus } from '../schema/vm.ts';
import type { VmConfig } from '../schema/vm-config.ts';
import type { AgentConnection } from './ports.ts';
import type { Cause, OperationKind, OperationStep, StoredEvent } from './records.ts';
import type { SystemApi } from './system-api.ts';

export type { Cause } from './records.ts';
export type { StateBackup } from './store-ports.ts';

/** Ready JSON text of one VM; answers send it as it is. */
export type VmBody = string;

export interface VmListQuery {
  /** Empty means any. */
  readonly statuses: readonly VmStatus[];
  readonly runtime?: string;
  readonly plugin?: string;
  /** Only names that begin with it. */
  readonly namePrefix?: string;
  /** Substring of name, address or runtime, ignoring case. */
  readonly text?: string;
  readonly sort: 'name' | 'status' | 'runtime' | 'created_at' | 'updated_at';
  readonly descending: boolean;
  readonly limit?: number;
  readonly offset: number;
}

/** Until when an operation is waited for; `ready` is the health check of the manifest. */
export type WaitFor = 'accepted' | 'running' | 'ready';

export interface WaitOptions {
  readonly wait: WaitFor;
  /** WAIT_TIMEOUT after this; the operation itself goes on. */
  readonly timeoutMs: number;
}

/** What an operation would do, without doing it: beside these, the resource as it would be. */
export interface DryRun {
  readonly dry_run: true;
  readonly actions: readonly { readonly action: string; readonly subject: string }[];
  /** The resolved config, where one was made. */
  readonly config?: VmConfig;
  readonly [fact: string]: unknown;
}

/** What was done for a VM, from when something was wanted until nothing was left to be done. */
export interface VmOperation {
  readonly number: number;
  readonly kind: OperationKind;
  readonly cause: Cause['by'];
  /** Of the request that is behind it. */
  readonly request_id?: string;
  readonly started_at: string;
  /** null while it is under way. */
  readonly ended_at: string | null;
  readonly outcome: 'running' | 'done' | 'failed' | 'superseded';
  readonly error: string | null;
  readonly steps: readonly OperationStep[];
}

/** What changes something takes its cause last. Without one the daemon does it for a reason of its own. */
export interface VmApi {
  /**
   * Resolves when the VM is as far as the options say, else when it runs. Rejects with the error of
   * the step that failed; then nothing is left of it.
   */
  create(request: CreateVmRequest, options?: WaitOptions, cause?: Cause): Promise<VmBody>;
  /** What create would lease and launch, or its error. */
  planCreate(request: CreateVmRequest): Promise<DryRun & Vm>;
  /** undefined when there is no such VM. Costs one map look-up. */
  get(name: string): VmBody | undefined;
  /** A JSON array as text, and how many VMs matched before paging. */
  list(query: VmListQuery): { readonly body: string; readonly total: number };
  /** What was done for a VM, newest first. VM_NOT_FOUND. */
  operations(name: string): readonly VmOperation[];
  start(name: string, options?: WaitOptions, cause?: Cause): Promise<VmBody>;
  /** `graceMs`: how long the guest gets to power off. Without it the VM's config says. */
  stop(name: string, graceMs?: number, cause?: Cause): Promise<VmBody>;
  restart(name: string, options?: WaitOptions, graceMs?: number, cause?: Cause): Promise<VmBody>;
  /** Without `graceMs` the guest gets little time: nothing of it is kept. */
  destroy(name: string, graceMs?: number, cause?: Cause): Promise<void>;
}

/** Of which version a change may be made: one of several, where they are a list. */
export type ExpectedVersion = number | readonly number[];

export interface ConfigApi {
  /** The newest version. VM_NOT_FOUND. */
  get(vmName: string): ConfigEnvelope;
  /** Newest first. No limit is all that are kept. VM_NOT_FOUND. */
  history(vmName: string, limit?: number): ConfigHistory;
  /** One new version. VERSION_MISMATCH unless the newest is the expected one, BODY_INVALID, VM_NOT_FOUND. */
  patch(
    vmName: string,
    patch: ConfigPatch,
    expectedVersion?: ExpectedVersion,
    cause?: Cause,
  ): Promise<ConfigEnvelope>;
  planPatch(
    vmName: string,
    patch: ConfigPatch,
    expectedVersion?: ExpectedVersion,
  ): DryRun & ConfigEnvelope;
}

export interface DeploymentApi {
  /** By name. */
  list(): readonly Deployment[];
  /** DEPLOYMENT_NOT_FOUND. */
  get(name: string): Deployment;
  /** Resolves when the replicas are there, at the latest after the bound, with the true counts. */
  create(
    request: CreateDeploymentRequest,
    options?: WaitOptions,
    cause?: Cause,
  ): Promise<Deployment>;
  patch(
    name: string,
    request: PatchDeploymentRequest,
    options?: WaitOptions,
    cause?: Cause,
  ): Promise<Deployment>;
  planCreate(request: CreateDeploymentRequest): DryRun & Deployment;
  planPatch(name: string, request: PatchDeploymentRequest): DryRun & Deployment;
  /**
   * Resolves when nothing of it is left. DELETE_INCOMPLETE when a replica could not be deleted, WAIT_TIMEOUT when none went
   * for long; it goes on, and may be asked for again.
   */
  remove(name: string, cause?: Cause): Promise<void>;
}

export interface PluginApi {
  /** Sorted. */
  list(): readonly string[];
  get(name: string): Manifest;
  /** The manifest as guests may have it: PLUGIN_DISABLED when the plugin is. */
  enabledManifest(name: string): Manifest;
  install(manifest: ManifestInput, cause?: Cause): Promise<void>;
  remove(name: string, cause?: Cause): Promise<void>;
  setEnabled(name: string, enabled: boolean, cause?: Cause): Promise<void>;
}

export interface ArtifactApi {
  /** Newest version first; of all versions unless one is named. */
  list(plugin: string, version?: string): readonly Artifact[];
  /** ARTIFACT_NOT_FOUND. */
  get(plugin: string, version: string, name: string): Artifact;
  /** Replaces the record of the same version and name. The plugin need not be installed. */
  put(plugin: string, input: ArtifactInput): Promise<void>;
  /** No error when there is nothing. */
  remove(plugin: string, version?: string): Promise<void>;
}

/** How an action of a manifest is asked of its VM's agent. */
export interface ActionCall {
  readonly agent: AgentConnection;
  readonly method: string;
  readonly path: string;
  readonly timeoutMs: number;
}

export interface AgentApi {
  /** The channel to a VM's agent. VM_NOT_FOUND, VM_STATE_CONFLICT, AGENT_UNREACHABLE. */
  connection(vmName: string): AgentConnection;
  /** Besides the errors of connection(): ACTION_NOT_FOUND, PLUGIN_DISABLED. */
  action(vmName: string, plugin: string, action: string): ActionCall;
  /** The base_url of the workload that the VM was launched with; null when there is none, or no such VM. */
  workloadUrl(vmName: string): string | null;
}

/** Somebody who looks at a console. */
export interface ConsoleViewer {
  /** In order. The first is what the guest printed last. The bytes must be copied before returning. */
  onOutput(bytes: Uint8Array): void;
  /** Once, unless it ends before: what the guest printed earlier has been shown. What comes after is new. */
  onCaughtUp?(): void;
  /** Once, the last call: the guest has ended, or its console could not be reached. */
  onEnd(reason: 'ended' | 'failed'): void;
}

export interface ConsoleSession {
  /** The bytes are kept until the guest has read them. false: it does not read, they were not taken. */
  write(bytes: Uint8Array): boolean;
  /** The viewer is called no more. */
  leave(): void;
}

export interface ConsoleApi {
  /** The viewer is called only after this has returned. VM_NOT_FOUND, VM_STATE_CONFLICT, OVERLOADED. */
  attach(vmName: string, viewer: ConsoleViewer): ConsoleSession;
  /** What the guest printed last, in this run or, where it does not run, in its last one. VM_NOT_FOUND. */
  past(vmName: string): Promise<Uint8Array>;
}

/** Each device is given back as far as it can be: one that cannot does not keep the others. */
export interface DevicesGivenBack {
  readonly done: readonly string[];
  /** What went wrong first, with what went wrong with each device in its details; null when nothing did. */
  readonly failure: VolantError | null;
}

export interface DeviceApi {
  /** BODY_INVALID, DEVICE_NOT_FOUND. */
  info(address: string): Promise<DeviceInfo>;
  /** Tells every problem; rejects only when it could not look. */
  validate(check: DevicesCheck): Promise<DevicesValid>;
  /** Whole groups, by number. BODY_INVALID, DEVICE_NOT_FOUND, VFIO_UNAVAILABLE. */
  groups(addresses: readonly string[]): Promise<readonly IommuGroup[]>;
  /** All or none. Those that are bound already stay so. */
  bind(addresses: readonly string[], cause?: Cause): Promise<readonly string[]>;
  /** Gives back to the drivers that they had. DEVICE_OWNED for what a VM has, or whose group it has. */
  unbind(addresses: readonly string[], cause?: Cause): Promise<DevicesGivenBack>;
  /** /dev/vfio/<group>, unique and sorted. DEVICE_NOT_BOUND. */
  groupPaths(addresses: readonly string[]): Promise<readonly string[]>;
}

/** An answer that is kept for a request that comes again. */
export interface KeptAnswer {
  readonly status: number;
  readonly body: string;
}

export interface IdempotencyApi {
  /**
   * Carries out the first request of a key and keeps its answer, over restarts; later ones get the same
   * answer, one at the same time waits for it. `again` is true when an earlier daemon had begun it and
   * did not live to answer. IDEMPOTENCY_MISMATCH when the fingerprint is another one.
   */
  run(
    key: string,
    fingerprint: string,
    carryOut: (again: boolean) => Promise<KeptAnswer>,
  ): Promise<KeptAnswer>;
}

/** The event log as readers see it. A reader keeps the number of the last event it was sent, nothing more. */
export interface EventApi {
  /** 0 before the first event ever. */
  lastSequence(): number;
  /** Events before this one are gone for good. */
  oldestSequence(): number;
  /** Events after a number, oldest first, at most `limit`. */
  after(sequence: number, limit: number): readonly StoredEvent[];
  /** The same, and the number to go on with: some of those that were looked at may be left out. */
  page(
    sequence: number,
    limit: number,
  ): { readonly events: readonly StoredEvent[]; readonly nextAfter: number };
  /** Calls back after each commit, once its events are on disk. Returns the undo. */
  subscribe(listener: (events: readonly StoredEvent[]) => void): () => void;
}

export interface Engine {
  readonly vms: VmApi;
  readonly configs: ConfigApi;
  readonly deployments: DeploymentApi;
  readonly plugins: PluginApi;
  readonly artifacts: ArtifactApi;
  readonly agents: AgentApi;
  readonly consoles: ConsoleApi;
  readonly devices: DeviceApi;
  readonly idempotency: IdempotencyApi;
  readonly events: EventApi;
  readonly system: SystemApi;
}
