// engine: the interface of the engine for http, as types. http imports nothing else of the engine.

import type { VolantError } from '../lib/errors.ts';
import type { Artifact, ArtifactInput } from '../schema/artifact.ts';
import type { ConfigEnvelope, ConfigHistory, ConfigPatch } from '../schema/config-patch.ts';
import type {
  CreateDeploymentRequest,
  Deployment,
  DeploymentRevision,
  PatchDeploymentRequest,
  RollbackRequest,
} from '../schema/deployment.ts';
import type { EgressStatus } from '../schema/egress.ts';
import type { Image, ImageList, PullImageRequest } from '../schema/image.ts';
import type { Manifest, ManifestInput } from '../schema/manifest.ts';
import type { DeviceInfo, DevicesCheck, DevicesValid, IommuGroup } from '../schema/vfio.ts';
import type { CreateVmRequest, Vm, VmResult, VmStatus } from '../schema/vm.ts';
import type { VmConfig } from '../schema/vm-config.ts';
import type { AgentApi, ExecApi } from './guest-api.ts';
import type { EgressCount } from './ports/network-ports.ts';
import type { Cause, OperationKind, OperationStep, StoredEvent } from './records.ts';
import type { StatsApi } from './stats-api.ts';
import type { SystemApi } from './system-api.ts';

export type * from './guest-api.ts';
export type { StateBackup } from './ports/store-ports.ts';
export type { Cause } from './records.ts';

/** The JSON text of one VM, sent as it is. */
export type VmBody = string;

export interface VmListQuery {
  /** Empty means any. */
  readonly statuses: readonly VmStatus[];
  readonly runtime?: string;
  readonly plugin?: string;
  /** Only names that begin with this. */
  readonly namePrefix?: string;
  /** Substring of name, address or runtime, ignoring case. */
  readonly text?: string;
  readonly sort: 'name' | 'status' | 'runtime' | 'created_at' | 'updated_at';
  readonly descending: boolean;
  readonly limit?: number;
  readonly offset: number;
}

/** A JSON array as text, and the number of VMs that matched before paging. The same object until something changes. */
export interface VmPage {
  readonly body: string;
  readonly total: number;
}

/** A JSON array of any length, in pieces of text. */
export interface VmStream {
  readonly total: number;
  /** The number of VMs in it. */
  readonly count: number;
  /** Call `return` if it is not read to its end, which frees its resources. */
  readonly pieces: Iterator<string, void, void>;
}

/** How far an operation must be before the response; `ready` is the health check of the manifest. */
export type WaitFor = 'accepted' | 'running' | 'ready';

/** As WaitFor, for one VM; `exited`: its workload has ended and is not started again. */
export type VmWaitFor = WaitFor | 'exited';

export interface WaitOptions<Goal extends VmWaitFor = WaitFor> {
  readonly wait: Goal;
  /** WAIT_TIMEOUT after this; the operation itself continues. */
  readonly timeoutMs: number;
}

/** What an operation would do. Other members are the resource as it would be. */
export interface DryRun {
  readonly dry_run: true;
  readonly actions: readonly { readonly action: string; readonly subject: string }[];
  /** The resolved config, if there is one. */
  readonly config?: VmConfig;
  readonly [fact: string]: unknown;
}

/** One operation on a VM: from a change of the wanted state until nothing was left to do. */
export interface VmOperation {
  readonly number: number;
  readonly kind: OperationKind;
  readonly cause: Cause['by'];
  /** The request that caused it. */
  readonly request_id?: string;
  readonly started_at: string;
  /** null while it is in progress. */
  readonly ended_at: string | null;
  readonly outcome: 'running' | 'done' | 'failed' | 'superseded';
  readonly error: string | null;
  readonly steps: readonly OperationStep[];
}

/** Methods that change something take the cause last. Without one, the daemon itself is the cause. */
export interface VmApi {
  /**
   * Creates a VM. Resolves when it is as far as the options ask, else when it runs. Rejects with the error of the step
   * that failed; nothing is left of the VM then.
   */
  create(
    request: CreateVmRequest,
    options?: WaitOptions<VmWaitFor>,
    cause?: Cause,
  ): Promise<VmBody>;
  /** The allocations and the launch of a create, or its error. Changes nothing. */
  planCreate(request: CreateVmRequest): Promise<DryRun & Vm>;
  /** undefined if there is no such VM. Costs one map look-up if it was read recently. */
  get(name: string): VmBody | undefined;
  /** Synchronous, except shortly after a start of the daemon. For short pages, because it is made in one piece. */
  list(query: VmListQuery): VmPage | Promise<VmPage>;
  /** For long lists. Throws OVERLOADED while too many streams are open. */
  stream(query: VmListQuery): Promise<VmStream>;
  /** The operations on a VM, newest first. Throws VM_NOT_FOUND. */
  operations(name: string): readonly VmOperation[];
  /** The newest result that the guest has posted. Throws VM_NOT_FOUND or RESULT_NOT_FOUND. */
  result(name: string): VmResult;
  start(name: string, options?: WaitOptions<VmWaitFor>, cause?: Cause): Promise<VmBody>;
  /** `graceMs` is the grace period in ms; the VM's config has the default. */
  stop(name: string, graceMs?: number, cause?: Cause): Promise<VmBody>;
  restart(
    name: string,
    options?: WaitOptions<VmWaitFor>,
    graceMs?: number,
    cause?: Cause,
  ): Promise<VmBody>;
  /** When the VM is deleted, in so many seconds; null: it stays. Throws VM_NOT_FOUND or VM_STATE_CONFLICT. */
  setDeadline(name: string, seconds: number | null, cause?: Cause): Promise<VmBody>;
  /** Without `graceMs` the grace period is short, because nothing of the guest is kept. */
  destroy(name: string, graceMs?: number, cause?: Cause): Promise<void>;
}

/** The version that a change requires; one of several, if it is a list. */
export type ExpectedVersion = number | readonly number[];

export interface ConfigApi {
  /** The newest version. Throws VM_NOT_FOUND. */
  get(vmName: string): ConfigEnvelope;
  /** Newest first. Without a limit, all kept versions. Throws VM_NOT_FOUND. */
  history(vmName: string, limit?: number): ConfigHistory;
  /**
   * Makes one new version. Throws VERSION_MISMATCH unless the newest is an expected one, BODY_INVALID or VM_NOT_FOUND.
   */
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

export interface EgressApi {
  /** The egress rules of a VM and what was counted. Throws VM_NOT_FOUND. */
  status(vmName: string): Promise<EgressStatus>;
  /** What was counted of every guest with rules, by the name of its VM. One job, however many there are. */
  counts(): Promise<ReadonlyMap<string, EgressCount>>;
}

export interface DeploymentApi {
  /** Sorted by name. */
  list(): readonly Deployment[];
  /** Throws DEPLOYMENT_NOT_FOUND. */
  get(name: string): Deployment;
  /** Resolves with the current counts when the replicas exist, or after a deadline. */
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
  /** Newest first, including the current one. Throws DEPLOYMENT_NOT_FOUND. */
  revisions(name: string): readonly DeploymentRevision[];
  /** The revision that this request restores. Throws DEPLOYMENT_NOT_FOUND or REVISION_NOT_FOUND. */
  rollbackTarget(name: string, request: RollbackRequest): DeploymentRevision;
  /** Restores an earlier config by an ordinary change. Throws REVISION_NOT_FOUND, and what patch throws. */
  rollback(
    name: string,
    request: RollbackRequest,
    options?: WaitOptions,
    cause?: Cause,
  ): Promise<Deployment>;
  planRollback(name: string, request: RollbackRequest): DryRun & Deployment;
  /**
   * Resolves when nothing of it is left. Throws DELETE_INCOMPLETE if a replica could not be deleted, or WAIT_TIMEOUT if
   * no replica was removed for a while. The delete continues and may be requested again.
   */
  remove(name: string, cause?: Cause): Promise<void>;
}

export interface PluginApi {
  /** Sorted. */
  list(): readonly string[];
  get(name: string): Manifest;
  /** The manifest for guests. Throws PLUGIN_DISABLED if the plugin is disabled. */
  enabledManifest(name: string): Manifest;
  install(manifest: ManifestInput, cause?: Cause): Promise<void>;
  remove(name: string, cause?: Cause): Promise<void>;
  setEnabled(name: string, enabled: boolean, cause?: Cause): Promise<void>;
}

export interface ArtifactApi {
  /** Newest version first; all versions unless one is named. */
  list(plugin: string, version?: string): readonly Artifact[];
  /** Throws ARTIFACT_NOT_FOUND. */
  get(plugin: string, version: string, name: string): Artifact;
  /** Replaces the record of this version and name. The plugin need not be installed. */
  put(plugin: string, input: ArtifactInput): Promise<void>;
  /** Does nothing if there is no such record. */
  remove(plugin: string, version?: string): Promise<void>;
}

/** Container images on this host. */
export interface ImageApi {
  /** By their first name. */
  list(): Promise<ImageList>;
  /** By its digest or a name of it. Throws IMAGE_NOT_FOUND. */
  get(nameOrDigest: string): Promise<Image>;
  /** Resolves when the image is here. Throws BODY_INVALID, and what MediaHost.fetchImage throws. */
  pull(request: PullImageRequest, cause?: Cause): Promise<Image>;
  /** Throws IMAGE_NOT_FOUND, IMAGE_IN_USE. */
  remove(nameOrDigest: string, cause?: Cause): Promise<void>;
}

/** A client that reads a console. */
export interface ConsoleViewer {
  /** Called in order, first with past output. The bytes must be copied before returning. */
  onOutput(bytes: Uint8Array): void;
  /** Called once, unless the console ends before: all past output has been sent, what follows is new. */
  onCaughtUp?(): void;
  /** The last call: the guest has ended, or its console could not be reached. */
  onEnd(reason: 'ended' | 'failed'): void;
}

export interface ConsoleSession {
  /**
   * Sends bytes, which are buffered until the guest reads them. Returns false if the buffer is full; nothing was taken
   * then.
   */
  write(bytes: Uint8Array): boolean;
  /** Ends the session. The viewer is not called any more. */
  leave(): void;
}

export interface ConsoleApi {
  /**
   * Adds a viewer, which is called only after this has returned. Throws VM_NOT_FOUND, VM_STATE_CONFLICT or OVERLOADED.
   */
  attach(vmName: string, viewer: ConsoleViewer): ConsoleSession;
  /** The end of the console output of this launch, or of the last one if the VM does not run. Throws VM_NOT_FOUND. */
  past(vmName: string): Promise<Uint8Array>;
}

/** The result of giving devices back. One that cannot be given back does not affect the others. */
export interface DevicesGivenBack {
  readonly done: readonly string[];
  /** The first error, with the error of each device in its details; null if there was none. */
  readonly failure: VolantError | null;
}

export interface DeviceApi {
  /** Throws BODY_INVALID or DEVICE_NOT_FOUND. */
  info(address: string): Promise<DeviceInfo>;
  /** Reports all problems. Rejects only if the devices could not be inspected. */
  validate(check: DevicesCheck): Promise<DevicesValid>;
  /** Whole IOMMU groups, by number. Throws BODY_INVALID, DEVICE_NOT_FOUND or VFIO_UNAVAILABLE. */
  groups(addresses: readonly string[]): Promise<readonly IommuGroup[]>;
  /** Binds all devices or none. Devices that are bound already stay bound. */
  bind(addresses: readonly string[], cause?: Cause): Promise<readonly string[]>;
  /** Gives devices back to their former drivers. Throws DEVICE_OWNED if a VM has one of them or its group. */
  unbind(addresses: readonly string[], cause?: Cause): Promise<DevicesGivenBack>;
  /** Paths such as /dev/vfio/<group>, unique and sorted. Throws DEVICE_NOT_BOUND. */
  groupPaths(addresses: readonly string[]): Promise<readonly string[]>;
}

/** A response that is kept for a repeated request. */
export interface KeptAnswer {
  readonly status: number;
  readonly body: string;
}

export interface IdempotencyApi {
  /**
   * Carries out the first request of a key and keeps its response across restarts. Later requests get the same
   * response; concurrent ones wait for it. `again` is true if an earlier daemon began the request and ended before its
   * response. Throws IDEMPOTENCY_MISMATCH for another fingerprint.
   */
  run(
    key: string,
    fingerprint: string,
    carryOut: (again: boolean) => Promise<KeptAnswer>,
  ): Promise<KeptAnswer>;
}

/** The event log as readers see it. A reader needs to keep only the number of its last event. */
export interface EventApi {
  /** 0 before the first event. */
  lastSequence(): number;
  /** The number of the oldest kept event; earlier ones are gone. */
  oldestSequence(): number;
  /** Events after a number, oldest first, at most `limit`. */
  after(sequence: number, limit: number): readonly StoredEvent[];
  /** The same with the number to continue from, because some of the events may be filtered out. */
  page(
    sequence: number,
    limit: number,
  ): { readonly events: readonly StoredEvent[]; readonly nextAfter: number };
  /** Calls the listener after each commit, once its events are on disk. Returns a function that unsubscribes. */
  subscribe(listener: (events: readonly StoredEvent[]) => void): () => void;
}

export interface Engine {
  readonly vms: VmApi;
  readonly configs: ConfigApi;
  readonly egress: EgressApi;
  readonly deployments: DeploymentApi;
  readonly plugins: PluginApi;
  readonly artifacts: ArtifactApi;
  readonly images: ImageApi;
  readonly agents: AgentApi;
  readonly execs: ExecApi;
  readonly consoles: ConsoleApi;
  readonly devices: DeviceApi;
  readonly idempotency: IdempotencyApi;
  readonly events: EventApi;
  readonly system: SystemApi;
  readonly stats: StatsApi;
}
