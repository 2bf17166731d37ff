// engine: what the engine offers to http, as types. http sees this and nothing behind it.

import type { Manifest, ManifestInput } from '../schema/manifest.ts';
import type { CreateVmRequest, VmStatus } from '../schema/vm.ts';
import type { HypervisorFacts } from './ports.ts';
import type { StoredEvent } from './records.ts';

/** Ready JSON text of one VM; answers send it as it is. */
export type VmBody = string;

export interface VmListQuery {
  /** Empty means any. */
  readonly statuses: readonly VmStatus[];
  readonly runtime?: string;
  readonly plugin?: string;
  /** Substring of name, address or runtime, ignoring case. */
  readonly text?: string;
  readonly sort: 'name' | 'status' | 'runtime' | 'created_at' | 'updated_at';
  readonly descending: boolean;
  readonly limit?: number;
  readonly offset: number;
}

export interface VmApi {
  /** Resolves when the VM runs. Rejects with the error of the step that failed; then nothing is left of it. */
  create(request: CreateVmRequest): Promise<VmBody>;
  /** undefined when there is no such VM. Costs one map look-up. */
  get(name: string): VmBody | undefined;
  /** A JSON array as text, and how many VMs matched before paging. */
  list(query: VmListQuery): { readonly body: string; readonly total: number };
  start(name: string): Promise<VmBody>;
  stop(name: string): Promise<VmBody>;
  restart(name: string): Promise<VmBody>;
  destroy(name: string): Promise<void>;
}

export interface PluginApi {
  /** Sorted. */
  list(): readonly string[];
  get(name: string): Manifest;
  install(manifest: ManifestInput): Promise<void>;
  remove(name: string): Promise<void>;
  setEnabled(name: string, enabled: boolean): Promise<void>;
}

/** The event log as readers see it. A reader keeps the number of the last event it was sent, nothing more. */
export interface EventApi {
  /** 0 before the first event ever. */
  lastSequence(): number;
  /** Events before this one are gone for good. */
  oldestSequence(): number;
  /** Events after a number, oldest first, at most `limit`. */
  after(sequence: number, limit: number): readonly StoredEvent[];
  /** Calls back after each commit, once its events are on disk. Returns the undo. */
  subscribe(listener: (events: readonly StoredEvent[]) => void): () => void;
}

export interface SystemStatus {
  readonly vm_count: number;
  readonly cpu_percent: number;
  readonly mem_percent: number;
}

export interface SystemApi {
  /** false while the store cannot be written. */
  healthy(): boolean;
  status(): Promise<SystemStatus>;
  /** What the daemon knows about itself and its host; undefined facts are left out. */
  info(): Promise<SystemInfo>;
}

export interface RecoveryReport {
  readonly adopted: number;
  readonly crashed: number;
  readonly stopped: number;
  readonly undone: number;
  readonly swept: number;
  readonly durationMs: number;
}

export interface SystemInfo {
  readonly version: string;
  readonly host_ip: string;
  readonly bridge: string;
  readonly subnet: string;
  readonly hypervisor: HypervisorFacts | { readonly error: string };
  readonly kernel: { readonly path: string } | { readonly error: string };
  readonly recovery: RecoveryReport | null;
}

export interface Engine {
  readonly vms: VmApi;
  readonly plugins: PluginApi;
  readonly events: EventApi;
  readonly system: SystemApi;
}
