// engine: what the engine needs of the store. Only types; how records lie on disk is not known here.

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
  StoredEvent,
  VmRecord,
} from './records.ts';

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
  | { readonly table: 'addresses'; readonly key: string; readonly value: AddressLease | null }
  | { readonly table: 'plugins'; readonly key: string; readonly value: PluginRecord | null }
  | {
      readonly table: 'deployments';
      readonly key: string;
      readonly value: DeploymentRecord | null;
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

/** All that is in the store when the daemon starts, events and old configs excepted. */
export interface Snapshot {
  readonly vms: readonly VmRecord[];
  readonly addresses: readonly (readonly [address: string, lease: AddressLease])[];
  readonly plugins: readonly PluginRecord[];
  readonly deployments: readonly DeploymentRecord[];
  readonly devices: readonly DeviceRecord[];
  readonly answers: readonly (readonly [key: string, answer: AnswerRecord])[];
  readonly artifacts: readonly ArtifactRecord[];
  readonly lastVmId: number;
  readonly lastSequence: number;
  /** true once the built-in plugins were installed: one that was removed does not come back. */
  readonly builtinsInstalled: boolean;
  /** Of the host when all VMs had been asked for that come up with it; null: never. */
  readonly bootId: string | null;
  readonly hostChanges: HostChanges;
  readonly kvmTrials: Readonly<Record<string, KvmTrial>>;
}

/** A copy of all records, as one file that can be restored. Whoever has it closes it. */
export interface StateBackup {
  readonly sizeBytes: number;
  /** Empty at its end. */
  read(position: number, bytesMax: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

export interface StorePort {
  load(): Snapshot;
  /**
   * Writes everything in one transaction, events numbered in order, and resolves when it is on disk.
   * Commits resolve in the order in which they were called. Rejects with STORE_UNAVAILABLE, and with
   * BODY_INVALID where something cannot be encoded, which concerns nobody else; then nothing of it was written and no
   * event number was used up.
   */
  commit(writes: readonly Write[], events: readonly EventBody[]): Promise<readonly StoredEvent[]>;
  /** One config of a VM, or undefined. */
  config(vmId: number, version: number): ConfigRecord | undefined;
  /** Configs of a VM, newest first. */
  configs(vmId: number, limit: number): readonly ConfigRecord[];
  /** What was done for a VM, newest first. */
  operations(vmId: number, limit: number): readonly OperationRecord[];
  /** Events after a number, oldest first, at most `limit`. */
  eventsAfter(sequence: number, limit: number): readonly StoredEvent[];
  /** The oldest number that is still stored; lastSequence + 1 when there is none. */
  oldestSequence(): number;
  /** Of this moment, while others write. OVERLOADED while there is another, STORE_UNAVAILABLE. */
  backup(): Promise<StateBackup>;
  /** false while writes fail. */
  readonly healthy: boolean;
  /**
   * Resolves when a record of no meaning has reached the disk, and there is room for more. Rejects as commit does, and
   * with DISK_SPACE_LOW.
   */
  probe(): Promise<void>;
  close(): Promise<void>;
}
