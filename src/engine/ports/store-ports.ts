// engine, ports: what the engine needs of the store. Only types. How records are stored is not known here.

import type { Family } from '../../lib/metrics/family.ts';
import type {
  AddressLease,
  AnswerRecord,
  ArtifactRecord,
  ConfigRecord,
  DeploymentRecord,
  DeviceRecord,
  EventBody,
  HostChanges,
  KvmTrial,
  OperationRecord,
  PluginRecord,
  ResultRecord,
  RevisionRecord,
  StoredEvent,
  VmRecord,
  VmSummary,
} from '../records.ts';

/** One put (value) or removal (null). */
export type Write =
  | { readonly table: 'vms'; readonly key: number; readonly value: VmRecord | null }
  | {
      readonly table: 'configs';
      readonly key: readonly [vmId: number, version: number];
      readonly value: ConfigRecord | null;
    }
  | {
      readonly table: 'operations';
      readonly key: readonly [vmId: number, number: number];
      readonly value: OperationRecord | null;
    }
  | { readonly table: 'results'; readonly key: number; readonly value: ResultRecord | null }
  | { readonly table: 'addresses'; readonly key: string; readonly value: AddressLease | null }
  | { readonly table: 'plugins'; readonly key: string; readonly value: PluginRecord | null }
  | {
      readonly table: 'deployments';
      readonly key: string;
      readonly value: DeploymentRecord | null;
    }
  | {
      readonly table: 'revisions';
      readonly key: readonly [deployment: string, revision: number];
      readonly value: RevisionRecord | null;
    }
  | { readonly table: 'devices'; readonly key: string; readonly value: DeviceRecord | null }
  | { readonly table: 'answers'; readonly key: string; readonly value: AnswerRecord | null }
  | {
      readonly table: 'artifacts';
      readonly key: readonly [plugin: string, version: string, name: string];
      readonly value: ArtifactRecord | null;
    }
  | { readonly table: 'meta'; readonly key: 'hostChanges'; readonly value: HostChanges | null }
  | { readonly table: 'meta'; readonly key: 'lastVmId'; readonly value: number }
  | {
      readonly table: 'meta';
      readonly key: 'hostTag' | 'homeId' | 'runtimeDirectory' | 'bootId';
      readonly value: string;
    }
  | { readonly table: 'meta'; readonly key: 'builtinsInstalled'; readonly value: boolean }
  | { readonly table: 'meta'; readonly key: 'probe'; readonly value: number }
  | {
      readonly table: 'meta';
      readonly key: 'kvmTrials';
      readonly value: Record<string, KvmTrial>;
    };

/** What the daemon loads from the store when it starts. Large tables are read on demand. */
export interface Snapshot {
  readonly plugins: readonly PluginRecord[];
  readonly deployments: readonly DeploymentRecord[];
  readonly devices: readonly DeviceRecord[];
  readonly answers: readonly (readonly [key: string, answer: AnswerRecord])[];
  readonly artifacts: readonly ArtifactRecord[];
  readonly lastVmId: number;
  readonly lastSequence: number;
  /** true once the built-in plugins were installed, so that a removed one does not return. */
  readonly builtinsInstalled: boolean;
  /** The host's boot id when all autostarts had been requested; null if that never happened. */
  readonly bootId: string | null;
  readonly hostChanges: HostChanges;
  readonly kvmTrials: Readonly<Record<string, KvmTrial>>;
}

/** A copy of all records, as one file that can be restored. Its owner must close it. */
export interface StateBackup {
  readonly sizeBytes: number;
  /** Reads a part. Empty at the end. */
  read(position: number, bytesMax: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

export interface StorePort {
  load(): Snapshot;
  /** The summary of every VM in ascending order of ids, read one by one. */
  summaries(): Iterable<VmSummary>;
  /** Every address that is allocated or in quarantine. */
  addressLeases(): Iterable<readonly [address: string, lease: AddressLease]>;
  /** The record of a VM as of the last commit; undefined if there is none. */
  vm(id: number): VmRecord | undefined;
  /**
   * Writes everything in one transaction, with events numbered in order. Resolves when it is on disk, in the order of
   * the calls. Rejects with STORE_UNAVAILABLE, or with BODY_INVALID if a value cannot be encoded, which does not affect
   * other commits. Nothing is written then, and no event number is used.
   */
  commit(writes: readonly Write[], events: readonly EventBody[]): Promise<readonly StoredEvent[]>;
  /** One config of a VM, or undefined. */
  config(vmId: number, version: number): ConfigRecord | undefined;
  /** Configs of a VM, newest first. */
  configs(vmId: number, limit: number): readonly ConfigRecord[];
  /** Operations of a VM, newest first. */
  operations(vmId: number, limit: number): readonly OperationRecord[];
  /** The result of a VM; undefined if it has none. */
  result(vmId: number): ResultRecord | undefined;
  /** All revisions of a deployment, newest first. */
  revisions(deployment: string): readonly RevisionRecord[];
  /** Events after a number, oldest first, at most `limit`. */
  eventsAfter(sequence: number, limit: number): readonly StoredEvent[];
  /** The oldest number that is still stored; lastSequence + 1 if there is none. */
  oldestSequence(): number;
  /** A backup as of now; writes continue. Throws OVERLOADED while another one is open, or STORE_UNAVAILABLE. */
  backup(): Promise<StateBackup>;
  /** false while writes fail. */
  readonly healthy: boolean;
  /**
   * Resolves when a test record is on disk and the disk has free space. Rejects as commit does, and with
   * DISK_SPACE_LOW.
   */
  probe(): Promise<void>;
  /** What was counted of transactions. */
  families(): readonly Family[];
  close(): Promise<void>;
}
