// engine: what is remembered about each thing. These are the shapes in the store; the shapes of the
// API are in schema/. Only types and nothing that can run: store, workers and hypervisor import them.

import type { Condition } from '../schema/condition.ts';
import type { Manifest, NETWORK_MODES } from '../schema/manifest.ts';
import type { VmStatus } from '../schema/vm.ts';
import type { VmConfig } from '../schema/vm-config.ts';

/** A process that cannot be mistaken for another: pids are reused, these three together are not. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat, clock ticks since boot. */
  readonly startTimeTicks: number;
  /** /proc/sys/kernel/random/boot_id. */
  readonly bootId: string;
}

/** What a trial of KVM came to. */
export interface KvmTrial {
  readonly result: 'works' | 'failed' | 'timed-out';
  /** A sentence for a person. */
  readonly reason: string;
  readonly triedAtMs: number;
  /** Trials in a row with this result. */
  readonly tries: number;
}

export type DriverName = 'qemu' | 'simulator';
export type Accelerator = 'kvm' | 'tcg' | 'none';
export type NetworkMode = (typeof NETWORK_MODES)[number];

/** All that is leased for one VM. Derived names (tap, CID, MAC) come from the id, which is never reused. */
export interface VmLeases {
  /** Dotted quad; null without a bridged network. */
  readonly ipAddress: string | null;
  readonly macAddress: string;
  /** null without a bridged network. */
  readonly tapName: string | null;
  readonly vsockCid: number;
}

/** Why something is done: a request of a client, a deployment, the end of a hypervisor, or the daemon for a reason of its own. */
export interface Cause {
  readonly by: 'request' | 'deployment' | 'exit' | 'daemon';
  /** Of the request that is behind it, as its answer has it. */
  readonly requestId?: string;
  /** For whom it is done: launches that wait are carried out fairly between clients. Absent: for nobody. */
  readonly client?: string;
}

/** What clients want of a VM. Written before anything is done for it. */
export interface VmWanted {
  readonly state: 'running' | 'stopped' | 'deleted';
  /** Raised by each start and restart: a launch is owed while the last one is of a lower number. */
  readonly launch: number;
  /** What the request for the guest's end gave it to power off; null or absent: it did not say. */
  readonly graceMs?: number | null;
  /** Of this wish. Absent in records of earlier versions. */
  readonly cause?: Cause;
  /** What the launch was admitted with. Absent in records of earlier versions. */
  readonly size?: { readonly memoryMb: number; readonly cpuCores: number };
}

/** What was seen of a VM last. */
export interface VmObserved {
  /** The launch that was carried out, or given up, last; 0 before the first. */
  readonly launch: number;
  /** Of the launch that is wanted, from 1: a guest whose clock is broken is launched again. */
  readonly attempt: number;
  /** How that launch ended; null while it goes on, or when nobody asked for one. */
  readonly end: 'stopped' | 'crashed' | null;
  /** The host has nothing of it that a stop takes away: process, tap, cgroup, host ports, devices. */
  readonly isReleased: boolean;
}

export interface VmRecord {
  readonly id: number;
  readonly name: string;
  readonly wanted: VmWanted;
  readonly observed: VmObserved;
  /** Computed from `wanted`, `observed` and `process` alone, by vms/status.ts. */
  readonly status: VmStatus;
  readonly plugin: string;
  readonly runtime: string;
  readonly cpuCores: number;
  readonly memoryMb: number;
  /** What the API shows: our base arguments and the user's, without `volant.*`. */
  readonly kernelCmdline: string;
  readonly networkMode: NetworkMode;
  readonly leases: VmLeases;
  /** The newest config; a start uses it. */
  readonly configVersion: number;
  /** The config of the last launch. */
  readonly launchedConfigVersion: number;
  /** True until the VM has run for the first time: a create that is cut off is undone, not kept. */
  readonly neverRan: boolean;
  readonly driver: DriverName;
  /** The hypervisor that was seen to run, until its end was written down. */
  readonly process: ProcessIdentity | null;
  /** Since when it runs or how it crashed, and what is not as it should be; absent before the first launch. */
  readonly conditions?: readonly Condition[];
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  /** Absent for a VM that belongs to no deployment. */
  readonly replica?: ReplicaOf;
  /** Those that were made for its disks; absent before the first, and in records of earlier versions. */
  readonly overlays?: readonly OverlayRecord[];
}

/** A disk's overlay that was made, and not removed since: where it is missing, what the guest wrote is lost. */
export interface OverlayRecord {
  /** Of the disk. */
  readonly name: string;
  /** Of the image that it lies on, as its owner named it. */
  readonly location: string;
  readonly checksum: string | null;
  /** What the guest saw when it was made. */
  readonly sizeBytes: number;
}

/** What a VM is to its deployment. */
export interface ReplicaOf {
  readonly deployment: string;
  /** From 1; the VM's name ends in it. */
  readonly index: number;
  /** The deployment's revision that it was made from. */
  readonly revision: number;
}

export interface DeploymentRecord {
  readonly name: string;
  readonly status: 'active' | 'deleting';
  readonly desiredReplicas: number;
  readonly maxUnavailable: number;
  /** Complete, manifest included: what happens to the plugin later does not matter. */
  readonly config: VmConfig;
  /** Counts changes of the config, from 1. */
  readonly revision: number;
  /** Of the last change. Absent in records of earlier versions. */
  readonly cause?: Cause;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  /** Made from replicas that were found: nothing is done for it until a client says what it shall be. */
  readonly isRebuilt?: true;
}

/** A PCI device that we took from its driver. Written before it is taken, removed after it is given back. */
export interface DeviceRecord {
  /** In lower case. */
  readonly address: string;
  /** Empty when it had none. */
  readonly formerDriver: string;
  /** Which driver it was told to take alone, by driver_override; empty when none. */
  readonly formerOverride: string;
  /** The VM that has it; null when a client asked for it to be bound, or when it is on its way back. */
  readonly vmId: number | null;
  /** A client had it bound before: it stays on vfio-pci when the VM lets go of it. */
  readonly staysBound: boolean;
  /** What is not bound yet, or not given back yet, when a daemon starts is given back then. */
  readonly state: 'binding' | 'bound' | 'releasing';
  readonly boundAtMs: number;
}

/** What was answered to a request that carried an Idempotency-Key. */
export interface AnswerRecord {
  /** SHA-256 of method, path and body: the same key means the same request. */
  readonly fingerprint: string;
  /** null while the first request of this key is under way. */
  readonly answer: { readonly status: number; readonly body: string } | null;
  readonly createdAtMs: number;
}

export interface ConfigRecord {
  readonly vmId: number;
  readonly version: number;
  readonly config: VmConfig;
  readonly updatedAtMs: number;
}

/**
 * What each launch leaves beside its process: enough to write the VM down again when the records are lost. Earlier
 * versions left record and config only.
 */
export interface VmDescription {
  readonly record: VmRecord;
  readonly config: VmConfig;
  /** Those that the VM has. */
  readonly devices?: readonly DeviceRecord[];
  /** null: it was not installed any more. */
  readonly plugin?: DescribedPlugin | null;
}

/** A plugin as it was when a VM of it was launched. */
export interface DescribedPlugin extends Omit<PluginRecord, 'manifest'> {
  /** null: that of the VM's config. */
  readonly manifest: Manifest | null;
}

/** `reconcile`: nobody asked; the daemon put something in line, such as after an end of a hypervisor or a start of its own. */
export type OperationKind = 'create' | 'start' | 'stop' | 'restart' | 'delete' | 'reconcile';

export interface OperationStep {
  readonly step: string;
  /** How often in a row, with the same result. */
  readonly times: number;
  /** Of the last time. */
  readonly duration_ms: number;
  /** null: it went well. */
  readonly error: string | null;
}

/** What was done for a VM, from when something was wanted until nothing was left to be done. */
export interface OperationRecord {
  readonly vmId: number;
  /** From 1, for each VM. */
  readonly number: number;
  readonly kind: OperationKind;
  /** Absent in records of earlier versions. */
  readonly cause?: Cause;
  readonly startedAtMs: number;
  /** null while it is under way, as is the outcome. */
  readonly endedAtMs: number | null;
  /** superseded: something else was wanted before it was done. */
  readonly outcome: 'done' | 'failed' | 'superseded' | null;
  readonly error: string | null;
  readonly steps: readonly OperationStep[];
}

export interface PluginRecord {
  readonly manifest: Manifest;
  readonly enabled: boolean;
  readonly installedAtMs: number;
}

/** What is known of one file of a plugin's version. */
export interface ArtifactRecord {
  readonly plugin: string;
  readonly version: string;
  readonly name: string;
  readonly kind: string;
  readonly sourceUrl: string;
  readonly checksum: string;
  readonly format: string;
  readonly localPath: string;
  readonly sizeBytes: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

/** Who holds an address, or since when nobody does. */
export interface AddressLease {
  readonly vmId: number | null;
  readonly releasedAtMs: number | null;
}

/** An event before it has its number: the body that clients get as `data`. */
export interface EventBody {
  readonly type: string;
  readonly name: string;
  readonly status: string;
  readonly ip_address?: string;
  readonly mac_address?: string;
  readonly pid?: number;
  readonly timestamp: string;
  readonly message?: string;
  /** The deployment that a VM belongs to. */
  readonly deployment?: string;
  /** Of the request that caused it; absent when none did. */
  readonly request_id?: string;
}

export interface StoredEvent {
  /** Dense: 1, 2, 3 and so on, over restarts. */
  readonly sequence: number;
  readonly body: EventBody;
}

/**
 * Changes of the daemon to the host beside its own objects, with what was there before. Written down
 * before they are made.
 */
export interface HostChanges {
  readonly ipForwardBefore?: string;
  readonly bridgeCreated?: boolean;
  /** Addresses that we gave to the bridge: 192.168.127.1/24. More than one while one replaces another. */
  readonly addressesAdded?: readonly string[];
  /** Of the bridge. */
  readonly routeLocalnetBefore?: string;
}
