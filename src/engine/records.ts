// engine: the records in the store. schema/ has the shapes of the API. Only types: store, workers and hypervisor import
// them.

import type { DriverName } from '../config/drivers.ts';
import type { EgressRules } from '../lib/net/egress.ts';
import type { Condition } from '../schema/condition.ts';
import type { Manifest, NETWORK_MODES } from '../schema/manifest.ts';
import type { VmStatus } from '../schema/vm.ts';
import type { VmConfig } from '../schema/vm-config.ts';

/** The identity of a process. Pids are reused, but these three together are not. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat, clock ticks since boot. */
  readonly startTimeTicks: number;
  /** /proc/sys/kernel/random/boot_id. */
  readonly bootId: string;
}

/** The result of a trial of KVM. */
export interface KvmTrial {
  readonly result: 'works' | 'failed' | 'timed-out';
  /** A sentence for people. */
  readonly reason: string;
  readonly triedAtMs: number;
  /** Consecutive trials with this result. */
  readonly tries: number;
}

export type Accelerator = 'kvm' | 'tcg' | 'none';
export type NetworkMode = (typeof NETWORK_MODES)[number];

/** The allocations of one VM. Derived names (tap, CID, MAC) come from the id, which is never reused. */
export interface VmLeases {
  /** Dotted quad; null without a bridged network. */
  readonly ipAddress: string | null;
  readonly macAddress: string;
  /** null without a bridged network. */
  readonly tapName: string | null;
  readonly vsockCid: number;
}

/**
 * Why something is done: a client's request, a deployment, the end of a hypervisor, the deadline of a VM, or the daemon's own
 * decision.
 */
export interface Cause {
  readonly by: 'request' | 'deployment' | 'exit' | 'deadline' | 'daemon';
  /** The id of the request behind it, as in its response. */
  readonly requestId?: string;
  /** The client that the work is done for; queued launches are served fairly between clients. Absent for none. */
  readonly client?: string;
}

/** The wanted state of a VM. Written before anything is done. */
export interface VmWanted {
  readonly state: 'running' | 'stopped' | 'deleted';
  /** Raised by each start and restart. A launch is needed while the observed launch is lower. */
  readonly launch: number;
  /** The grace period in ms that a request gave; null or absent if it gave none. */
  readonly graceMs?: number | null;
  /** The cause of this wanted state. Absent in records of earlier versions. */
  readonly cause?: Cause;
  /** The size that the launch was admitted with. Absent in records of earlier versions. */
  readonly size?: { readonly memoryMb: number; readonly cpuCores: number };
}

/** How a workload ended that is not started again: one of the two is null. */
export interface WorkloadExit {
  readonly code: number | null;
  readonly signal: number | null;
}

/** The observed state of a VM. */
export interface VmObserved {
  /** The last launch that was carried out or given up; 0 before the first. */
  readonly launch: number;
  /** The attempt of the wanted launch, from 1. A guest with a broken clock is launched again. */
  readonly attempt: number;
  /** The daemon launches the guest again by itself: it rebooted, or its clock is broken. Absent: false. */
  readonly isRelaunch?: boolean;
  /** How that launch ended; null while it runs, or before the first. */
  readonly end: 'stopped' | 'crashed' | null;
  /** How its workload ended, if that was the end of the launch. Absent or null otherwise. */
  readonly exit?: WorkloadExit | null;
  /** Nothing is left on the host that a stop releases: process, tap, cgroup, published ports, devices. */
  readonly isReleased: boolean;
}

/** When a VM is deleted. See vm-record/deadline.ts. */
export interface Deadline {
  /** By the clock of the host when it was set. */
  readonly atMs: number;
  /** By the uptime of the host, in the boot in which it was set. */
  readonly uptimeMs: number;
  readonly bootId: string;
}

export interface VmRecord {
  readonly id: number;
  readonly name: string;
  readonly wanted: VmWanted;
  readonly observed: VmObserved;
  /** Computed from `wanted`, `observed` and `process` only, by vm-record/status.ts. */
  readonly status: VmStatus;
  readonly plugin: string;
  readonly runtime: string;
  readonly cpuCores: number;
  readonly memoryMb: number;
  /** What the API shows: base arguments and the user's, without `volant.*`. */
  readonly kernelCmdline: string;
  readonly networkMode: NetworkMode;
  readonly leases: VmLeases;
  /** The egress rules of the newest config, which a running guest has at once. Absent: none. */
  readonly egress?: EgressRules;
  /** The newest config, which the next launch uses. */
  readonly configVersion: number;
  /** The config of the last launch. */
  readonly launchedConfigVersion: number;
  /** true until the VM has run for the first time. A create that is interrupted is undone. */
  readonly neverRan: boolean;
  readonly driver: DriverName;
  /** The running hypervisor, until its end is recorded. */
  readonly process: ProcessIdentity | null;
  /** Since when it runs or how it crashed, and its problems. Absent before the first launch. */
  readonly conditions?: readonly Condition[];
  /** When it is deleted; null or absent: it stays. */
  readonly deadline?: Deadline | null;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  /** Absent for a VM without a deployment. */
  readonly replica?: ReplicaOf;
  /** The overlays of its disks. Absent before the first one, and in records of earlier versions. */
  readonly overlays?: readonly OverlayRecord[];
}

/** What lists and the start of a daemon need of a VM. The store keeps it beside the record, for fast reads. */
export interface VmSummary {
  readonly id: number;
  readonly name: string;
  readonly status: VmStatus;
  readonly plugin: string;
  readonly runtime: string;
  readonly ipAddress: string | null;
  readonly hasTap: boolean;
  readonly updatedAtMs: number;
  /** null without a deployment. */
  readonly deployment: string | null;
  readonly wantedState: VmWanted['state'];
  /** A launch is wanted that was neither carried out nor given up. */
  readonly needsLaunch: boolean;
  readonly isReleased: boolean;
  readonly hasProcess: boolean;
  /** null without one. */
  readonly deadline: Deadline | null;
}

/** An overlay that was made and not removed since. If it is missing on disk, the guest's data is lost. */
export interface OverlayRecord {
  /** The name of the disk. */
  readonly name: string;
  /** The location of its base image, as the config names it. */
  readonly location: string;
  readonly checksum: string | null;
  /** The size that the guest saw when it was made. */
  readonly sizeBytes: number;
}

/** The membership of a VM in a deployment. */
export interface ReplicaOf {
  readonly deployment: string;
  /** From 1. The VM's name ends in it. */
  readonly index: number;
  /** The revision of the deployment that the VM was made from. */
  readonly revision: number;
}

export interface DeploymentRecord {
  readonly name: string;
  readonly status: 'active' | 'deleting';
  readonly desiredReplicas: number;
  readonly maxUnavailable: number;
  /** Complete with its manifest, so later changes of the plugin have no effect. */
  readonly config: VmConfig;
  /** Counts changes of the config, from 1. */
  readonly revision: number;
  /** The cause of the last change. Absent in records of earlier versions. */
  readonly cause?: Cause;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
  /** Rebuilt from replicas that were found. It is not reconciled until a client changes it. */
  readonly isRebuilt?: true;
}

/** A config that a deployment has or had, and how it was made. */
export interface RevisionRecord {
  readonly deployment: string;
  /** The deployment's number of this revision. */
  readonly revision: number;
  /** When the deployment was created: a later one of the same name has other revisions. */
  readonly deploymentCreatedAtMs: number;
  readonly config: VmConfig;
  /** The last value while this revision was current. */
  readonly maxUnavailable: number;
  /** null: made by an earlier version, which kept no revisions. */
  readonly createdAtMs: number | null;
  /** Absent if createdAtMs is null, or without a request. */
  readonly cause?: Cause;
  /** Paths of the members that differ from the previous revision. Empty if there is none or it is unknown. */
  readonly changes: readonly string[];
  /** The revision that a rollback restored. */
  readonly restoredFrom?: number;
}

/** A PCI device that was taken from its driver. Written before it is taken, removed after it is given back. */
export interface DeviceRecord {
  /** In lower case. */
  readonly address: string;
  /** Empty if it had none. */
  readonly formerDriver: string;
  /** Its former driver_override; empty for none. */
  readonly formerOverride: string;
  /** The VM that has the device; null if a client has bound it, or while it is given back. */
  readonly vmId: number | null;
  /** A client had bound it before, so it stays on vfio-pci when the VM releases it. */
  readonly staysBound: boolean;
  /** At the start of a daemon, a device in 'binding' or 'releasing' is given back. */
  readonly state: 'binding' | 'bound' | 'releasing';
  readonly boundAtMs: number;
}

/** The response to a request with an Idempotency-Key. */
export interface AnswerRecord {
  /** SHA-256 of method, path and body. The same key must have the same fingerprint. */
  readonly fingerprint: string;
  /** null while the first request of this key is in progress. */
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
 * What each launch leaves in the run directory, to restore its records if they are lost. Earlier versions wrote record
 * and config only.
 */
export interface VmDescription {
  readonly record: VmRecord;
  readonly config: VmConfig;
  /** The devices of the VM. */
  readonly devices?: readonly DeviceRecord[];
  /** null: the plugin was not installed any more. */
  readonly plugin?: DescribedPlugin | null;
}

/** A plugin as of a launch of one of its VMs. */
export interface DescribedPlugin extends Omit<PluginRecord, 'manifest'> {
  /** null: the manifest of the VM's config. */
  readonly manifest: Manifest | null;
}

/** The newest result that a VM's guest has posted. */
export interface ResultRecord {
  readonly vmId: number;
  readonly isJson: boolean;
  /** As it was posted. */
  readonly text: string;
  readonly sizeBytes: number;
  readonly postedAtMs: number;
}

/** `reconcile`: without a request, for example after the end of a hypervisor or at a start of the daemon. */
export type OperationKind = 'create' | 'start' | 'stop' | 'restart' | 'delete' | 'reconcile';

export interface OperationStep {
  readonly step: string;
  /** The number of consecutive attempts with the same result. */
  readonly times: number;
  /** The duration of the last attempt. */
  readonly duration_ms: number;
  /** null: it succeeded. */
  readonly error: string | null;
}

/** One operation on a VM: from a change of the wanted state until nothing was left to do. */
export interface OperationRecord {
  readonly vmId: number;
  /** From 1, for each VM. */
  readonly number: number;
  readonly kind: OperationKind;
  /** Absent in records of earlier versions. */
  readonly cause?: Cause;
  readonly startedAtMs: number;
  /** null while it is in progress, as is the outcome. */
  readonly endedAtMs: number | null;
  /** superseded: the wanted state changed before it was done. */
  readonly outcome: 'done' | 'failed' | 'superseded' | null;
  readonly error: string | null;
  readonly steps: readonly OperationStep[];
}

export interface PluginRecord {
  readonly manifest: Manifest;
  readonly enabled: boolean;
  readonly installedAtMs: number;
}

/** What a client has recorded about one file of a plugin's version. */
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

/** The VM that holds an address, or when it was released. */
export interface AddressLease {
  readonly vmId: number | null;
  readonly releasedAtMs: number | null;
}

/** An event without its number: the body that clients get as `data`. */
export interface EventBody {
  readonly type: string;
  readonly name: string;
  readonly status: string;
  readonly ip_address?: string;
  readonly mac_address?: string;
  readonly pid?: number;
  readonly exit_code?: number;
  readonly exit_signal?: number;
  readonly size_bytes?: number;
  readonly timestamp: string;
  readonly message?: string;
  /** The deployment of the VM. */
  readonly deployment?: string;
  /** The request that caused it; absent for none. */
  readonly request_id?: string;
}

export interface StoredEvent {
  /** Without gaps: 1, 2, 3 and so on, across restarts. */
  readonly sequence: number;
  readonly body: EventBody;
}

/** Changes of the daemon to the host beside its own objects, with the previous values. Written before they are made. */
export interface HostChanges {
  readonly ipForwardBefore?: string;
  readonly bridgeCreated?: boolean;
  /** Addresses that the daemon gave to the bridge, such as 192.168.127.1/24. Several while one replaces another. */
  readonly addressesAdded?: readonly string[];
  /** The previous value of the bridge's setting. */
  readonly routeLocalnetBefore?: string;
}
