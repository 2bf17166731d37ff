// engine, ports: what the engine needs of hypervisor processes and of what belongs to each on the host: run directory,
// cgroup, logs. No code.

import type { DriverName } from '../../config/drivers.ts';
import type { Accelerator, KvmTrial, ProcessIdentity, VmDescription } from '../records.ts';
import type { GuestIdentity, NetworkSpec } from './network-ports.ts';

/** How a process ended. Both null: it is gone, but was not our child, so its status is unknown. */
export interface ProcessExit {
  readonly code: number | null;
  readonly signal: string | null;
}

/** A live process that is watched. The host closes its pidfd after the exit. */
export interface WatchedProcess {
  readonly identity: ProcessIdentity;
  /** Resolves once, when the process is gone. Never rejects. */
  readonly exited: Promise<ProcessExit>;
  /** Sends a signal through the pidfd, so it never reaches another process. Does nothing if the process is gone. */
  signal(name: 'SIGTERM' | 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): Promise<void>;
}

export interface LaunchRequest {
  readonly executable: string;
  /** Without argv[0]. */
  readonly argv: readonly string[];
  /** The run directory: made empty, mode 0700. An existing one is removed first. */
  readonly workingDirectory: string;
  /** A persistent tap, on its bridge and up. null for a VM without a network card. */
  readonly tap: {
    readonly guest: GuestIdentity;
    readonly spec: NetworkSpec;
    /**
     * The number of its bridge. 0 has the host's address; secondary bridges are made when needed and removed when
     * unused. null: any bridge of guests without a known address.
     */
    readonly bridgeNumber: number | null;
  } | null;
  /** The control socket. It listens before the process is started, which has it open as CONTROL_DESCRIPTOR. */
  readonly controlPath: string;
  /** stdout and stderr are appended to this file. */
  readonly logPath: string;
  /** A child of the daemon's own cgroup. */
  readonly cgroup: CgroupSpec;
  /** A guest boots in it: until endBoot it has a greater CPU weight than others. */
  readonly boots: boolean;
  /** null: the process has the user of the daemon and sees what the daemon sees. */
  readonly sandbox: SandboxSpec | null;
  /** Whether the kernel may give it transparent huge pages. */
  readonly hugePages: boolean;
}

/** What one hypervisor may access, beside its run directory, its executable and the host's programs. */
export interface SandboxSpec {
  /** Its user and group id; no other living hypervisor has it. */
  readonly uid: number;
  readonly readOnly: readonly string[];
  /** Owned by this user. */
  readonly readWrite: readonly string[];
  readonly devices: readonly string[];
  /** Addresses of devices bound to vfio-pci, whose IOMMU groups it may open. */
  readonly pciDevices: readonly string[];
  /** Bytes of memory that it may pin; 0 is the system's default. */
  readonly lockedBytesMax: number;
}

/** The result of the hypervisor probe. */
export interface HypervisorFacts {
  readonly driver: DriverName;
  readonly executable: string;
  readonly version: string;
  readonly accelerator: Accelerator;
  /** Why this accelerator was chosen, as a sentence. */
  readonly reason: string;
  /** The trial that decided it; null if there was none. */
  readonly kvmTrial: KvmTrial | null;
  /** The host's TSC frequency. TCG passes the host's counter through to its guests. */
  readonly tscKhz: number;
  /** Guests can have a vsock device that the host reaches by their CID. */
  readonly vhostVsock: boolean;
  /** Directories with firmware and option ROMs, in search order. */
  readonly dataDirectories: readonly string[];
}

/** Earlier trials of KVM, by what was tried. */
export interface KnownTrials {
  readonly trials: Readonly<Record<string, KvmTrial>>;
  /** A failed trial may be repeated; otherwise only what was never tried is. */
  readonly mayTryAgain: boolean;
  /** By the wall clock, for display. */
  readonly nowMs: number;
}

/** The cgroup (version 2) of one hypervisor, with the limits of all its processes together. */
export interface CgroupSpec {
  readonly name: string;
  readonly memoryBytesMax: number;
  readonly tasksMax: number;
  /** Processors of the host at the same time. */
  readonly cpusMax: number;
}

/** What is known about processes that the kernel killed for lack of memory. */
export interface OomEvidence {
  /** Kills in one cgroup; null if the host does not count them by cgroup. */
  readonly ofCgroup: number | null;
  /** The cgroup had reached its limit; otherwise the host had no memory left. */
  readonly hitLimit: boolean;
  /** A process on the host was killed since the last call, or since the daemon was started. */
  readonly isNewOnHost: boolean;
}

/** Kernel objects and directories that carry this daemon's tag. */
export interface HostInventory {
  readonly bootId: string;
  readonly tapNames: readonly string[];
  readonly runDirectoryIds: readonly number[];
  readonly diskDirectoryIds: readonly number[];
  /** Hypervisors whose working directory is one of our run directories. */
  readonly processes: readonly { readonly vmId: number; readonly identity: ProcessIdentity }[];
  readonly cgroupNames: readonly string[];
  /** VMs whose hypervisor removed its pid file, because it exited normally. */
  readonly orderlyExitIds: readonly number[];
}

/** Hypervisor processes. A part of HostPorts. */
export interface ProcessHost {
  removeRunDirectory(vmId: number): Promise<void>;
  /**
   * Makes run directory, tap, cgroup and process, in this order. If one fails, those before it stay;
   * removeRunDirectory, removeTap and removeCgroup undo them.
   */
  launch(request: LaunchRequest): Promise<WatchedProcess>;
  /**
   * Writes descriptions of these VMs to their run directories, for a daemon that has lost its records. Earlier ones are
   * replaced. VMs without a run directory are skipped.
   */
  describeVms(descriptions: readonly VmDescription[]): Promise<void>;
  /**
   * Ends the greater CPU weight of a hypervisor whose guest has booted. Does nothing if the host has no such weight or
   * the process is gone.
   */
  endBoot(identity: ProcessIdentity, cgroupName: string): Promise<void>;
  /**
   * Watches a hypervisor of this VM that another daemon launched. null if it is gone, is another process by now, or
   * does not work in the VM's run directory.
   */
  adopt(vmId: number, identity: ProcessIdentity): Promise<WatchedProcess | null>;
  /** Removes a VM's cgroup, if it exists. */
  removeCgroup(cgroupName: string): Promise<void>;
  /** Removes the daemon's own cgroup, which must have no children. Does nothing if it does not exist. */
  removeCgroupRoot(): Promise<void>;
  /** The last lines of a log, oldest first, truncated to LIMITS. Empty if there is no log. */
  readLogTail(path: string): Promise<readonly string[]>;
  /** The end of a VM's console output, at most LIMITS.consoleReplayBytesMax bytes. Empty if there is none. */
  readConsole(vmId: number): Promise<Uint8Array>;
  /** The kernel's counters of processes killed for lack of memory. */
  findOomKill(cgroupName: string): Promise<OomEvidence>;
  /** Cuts the logs of these VMs back to LIMITS.logBytesMax. */
  trimLogs(vmIds: readonly number[]): Promise<void>;
  inventory(): Promise<HostInventory>;
  /** Finds and checks the hypervisor, and boots a KVM canary if needed. Throws HYPERVISOR_MISSING. */
  probeHypervisor(known: KnownTrials): Promise<{
    readonly facts: HypervisorFacts;
    readonly kvmTrials: Readonly<Record<string, KvmTrial>>;
  }>;
}
