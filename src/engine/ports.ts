// engine: what the engine needs from the world, as types; of store and network in files of their own.
// hypervisor and workers implement these and import nothing else from here; main.ts joins them. No code.

import type { Duplex } from 'node:stream';
import type {
  Forward,
  GuestIdentity,
  GuestPort,
  NetworkSpec,
  PortProtocol,
} from './network-ports.ts';
import type { Accelerator, DriverName, HostChanges, ProcessIdentity } from './records.ts';

// ----------------------------------------------------------------------------------------- host

/** How a process ended. Both null: it is gone, but it was not our child and left no status. */
export interface ProcessExit {
  readonly code: number | null;
  readonly signal: string | null;
}

/** A live process under watch. The pidfd behind it is closed by the host when the exit was seen. */
export interface WatchedProcess {
  readonly identity: ProcessIdentity;
  /** Resolves once, when the process is gone. Never rejects. */
  readonly exited: Promise<ProcessExit>;
  /** Sends a signal through the pidfd: it can never hit another process. A process that is gone is no error. */
  signal(name: 'SIGTERM' | 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): Promise<void>;
}

export interface LaunchRequest {
  readonly executable: string;
  /** Without argv[0]. */
  readonly argv: readonly string[];
  /** The run directory: made empty, 0700; an old one is removed first. */
  readonly workingDirectory: string;
  /** Made persistent, a port of its shard's bridge, and up. null for a VM without a network card. */
  readonly tap: {
    readonly guest: GuestIdentity;
    readonly spec: NetworkSpec;
    /**
     * 0 is the bridge with the host's address; the others are made when they are needed, and removed when
     * nobody needs them. null is any of those for guests whose address is not known.
     */
    readonly shard: number | null;
  } | null;
  /** stdout and stderr are appended here. */
  readonly logPath: string;
  /** Name of a child of the daemon's own cgroup. */
  readonly cgroup: CgroupSpec;
}

/** A PCI device that shares an IOMMU group with another. */
export interface GroupMember {
  readonly address: string;
  readonly driver: string;
  readonly isBridge: boolean;
}

/** Who had a device before it was taken. */
export interface FormerDriver {
  readonly driver: string | null;
  readonly override: string;
}

export interface DeviceFacts {
  readonly address: string;
  readonly present: boolean;
  /** Hexadecimal digits. */
  readonly vendor: string;
  readonly device: string;
  /** Empty when no driver has it. */
  readonly driver: string;
  /** Empty without an IOMMU. */
  readonly iommuGroup: string;
  readonly numaNode: string;
  /** Itself included. */
  readonly groupMembers: readonly GroupMember[];
  readonly isBridge: boolean;
  /** What of the host needs it; null when nothing does. */
  readonly usedBy: string | null;
}

/** What the hypervisor probe found. */
export interface HypervisorFacts {
  readonly driver: DriverName;
  readonly executable: string;
  readonly version: string;
  readonly accelerator: Accelerator;
  /** Why this accelerator, a sentence for a person. */
  readonly reason: string;
  /** The host's TSC frequency; TCG hands the host's counter to its guests. */
  readonly tscKhz: number;
  /** Guests can have a socket of the family vsock that the host reaches by their CID. */
  readonly vhostVsock: boolean;
}

/** A cgroup (version 2) for one hypervisor, and what its processes may use together. */
export interface CgroupSpec {
  readonly name: string;
  readonly memoryBytesMax: number;
  readonly tasksMax: number;
  /** Of the host's processors, at the same time. */
  readonly cpusMax: number;
}

export interface MediaFacts {
  /** The path with every symbolic link resolved. */
  readonly realPath: string;
  readonly sizeBytes: number;
}

/** How far a download is. */
export interface MediaProgress {
  readonly receivedBytes: number;
  /** null when the server does not say. */
  readonly totalBytes: number | null;
}

/** An image that a VM's disk is made from. */
export interface DiskImage {
  /** Unique among the VM's disks, fit for a file name. */
  readonly name: string;
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
  readonly readonly: boolean;
}

/** Objects in the kernel and on disk that carry this daemon's tag. */
export interface HostInventory {
  readonly bootId: string;
  readonly tapNames: readonly string[];
  readonly runDirectoryIds: readonly number[];
  readonly diskDirectoryIds: readonly number[];
  /** Processes whose command line names one of our run directories. */
  readonly processes: readonly { readonly vmId: number; readonly identity: ProcessIdentity }[];
  readonly cgroupNames: readonly string[];
  /** VMs whose hypervisor removed its pid file: it ended in good order. */
  readonly orderlyExitIds: readonly number[];
}

/** What is written down of changes to the host, so that they can be put back. */
export interface HostLedger {
  changes(): HostChanges;
  /** Resolves when it is on disk. */
  remember(changes: HostChanges): Promise<void>;
}

/** Work that may block: everything here runs on worker threads. Every method rejects with VolantError. */
export interface HostPort {
  /**
   * Creates what is missing of bridge, its address, forwarding and NAT, and the filter for the guests that
   * are there already. What it changes beside that is in the ledger before. Idempotent.
   */
  ensureNetwork(
    spec: NetworkSpec,
    guests: readonly GuestIdentity[],
    ledger: HostLedger,
  ): Promise<void>;
  /** These forwards and no others. Calls at the same time share one change. */
  setForwards(spec: NetworkSpec, forwards: readonly Forward[]): Promise<void>;
  /**
   * Holds a port of the host, so that no program can take it. Connections that no forward leads to a
   * guest are given to `serve`; those that it does not take are refused. PORT_TAKEN with the name of the
   * program that has it.
   */
  holdPort(
    protocol: PortProtocol,
    port: number,
    serve: (connection: Duplex) => boolean,
  ): Promise<{ release(): void }>;
  /** Removes the rules, and what `changes` says that we made. Idempotent. */
  removeNetwork(spec: NetworkSpec, changes: HostChanges): Promise<void>;
  /** Removes taps; resolves when their absence was seen. Calls at the same time share one kernel request. */
  removeTap(tapName: string): Promise<void>;
  removeRunDirectory(vmId: number): Promise<void>;
  /**
   * Makes run directory, tap, cgroup and process, in this order. When one fails those before it stay:
   * removeRunDirectory, removeTap and removeCgroup take them back.
   */
  launch(request: LaunchRequest): Promise<WatchedProcess>;
  /** Watches a process that another daemon launched. null when it is gone or not the same any more. */
  adopt(identity: ProcessIdentity): Promise<WatchedProcess | null>;
  /** Removes a VM's cgroup. Absent is fine. */
  removeCgroup(cgroupName: string): Promise<void>;
  /** Removes the daemon's own cgroup, which must have no children left. Absent is fine. */
  removeCgroupRoot(): Promise<void>;
  /**
   * MEDIA_NOT_ALLOWED, MEDIA_INVALID; MEDIA_CHECKSUM_MISMATCH where a SHA-256 is given. Links are followed
   * before the directories are compared.
   */
  inspectMedia(path: string, checksum: string | null): Promise<MediaFacts>;
  /**
   * A file of the network, from the cache where it is there already. Those who ask for one file at the same
   * time share a download. MEDIA_DOWNLOAD_FAILED, MEDIA_CHECKSUM_MISMATCH, MEDIA_NOT_ALLOWED, DISK_SPACE_LOW.
   */
  fetchMedium(
    url: string,
    checksum: string | null,
    onProgress: (progress: MediaProgress) => void,
  ): Promise<MediaFacts>;
  /**
   * The disks of a VM, in the order of their images. What may be written to is an overlay that the VM
   * keeps until removeDisks; the image is never changed. MEDIA_INVALID.
   */
  provideDisks(
    vmId: number,
    images: readonly DiskImage[],
  ): Promise<readonly { readonly path: string; readonly format: 'raw' | 'qcow2' }[]>;
  /** The image that cloud-init reads, with these files; replaces one that is there. Goes with the disks. */
  writeSeed(vmId: number, files: ReadonlyMap<string, string>): Promise<string>;
  /** Absent is fine. */
  removeDisks(vmId: number): Promise<void>;
  /** The guest kernel: the uncompressed one when it exists, else the bzImage. KERNEL_MISSING. */
  findKernel(): Promise<MediaFacts>;
  /** The last lines of a log, oldest first, cut to LIMITS. Missing is empty. */
  readLogTail(path: string): Promise<readonly string[]>;
  /** What a VM printed last on its console, at most LIMITS.consoleReplayBytesMax. Nothing is empty. */
  readConsole(vmId: number): Promise<Uint8Array>;
  /**
   * The text of a file that a manifest names, under the rules of inspectMedia. MEDIA_NOT_ALLOWED,
   * MEDIA_INVALID when it is too large, DOCUMENT_NOT_FOUND.
   */
  readDocument(path: string): Promise<string>;
  /** Cuts logs of these VMs back to LIMITS.logBytesMax. */
  trimLogs(vmIds: readonly number[]): Promise<void>;
  inventory(): Promise<HostInventory>;
  /** Finds and checks the hypervisor, boots a KVM canary where that is needed. HYPERVISOR_MISSING. */
  probeHypervisor(kvmVerdicts: Readonly<Record<string, boolean>>): Promise<{
    readonly facts: HypervisorFacts;
    readonly kvmVerdicts: Readonly<Record<string, boolean>>;
  }>;
  /** Percentages of the whole host, 0 to 100, always finite. */
  usage(): Promise<{ readonly cpuPercent: number; readonly memPercent: number }>;
  /** PCI devices as the kernel has them, in the order asked for. What is not there is told as such. */
  inspectDevices(addresses: readonly string[]): Promise<readonly DeviceFacts[]>;
  /** The only driver that the kernel gives a device to; empty when it may choose. DEVICE_BUSY, DEVICE_FAILED. */
  driverOverrideOf(address: string): Promise<string>;
  /** Gives a device to vfio-pci. What fails half-way is for releaseDevice. DEVICE_BUSY, DEVICE_FAILED, VFIO_UNAVAILABLE. */
  bindDevice(address: string): Promise<void>;
  /**
   * Gives it back to the driver that it had; empty means none, null whichever the kernel chooses. Absent is fine,
   * and so is a device that another driver has meanwhile. DEVICE_BUSY, DEVICE_FAILED.
   */
  releaseDevice(address: string, former: FormerDriver): Promise<void>;
  /**
   * Whether a hypervisor could open these IOMMU groups now, by number. GROUP_NOT_VIABLE, DEVICE_IN_USE when another
   * program has one, VFIO_UNAVAILABLE, DEVICE_FAILED.
   */
  probeGroups(groups: readonly string[]): Promise<void>;
  /** Name servers of the host that a guest can reach (no loopback addresses). */
  nameServers(): Promise<readonly string[]>;
  close(): Promise<void>;
}

// ----------------------------------------------------------------------------------- hypervisor

export interface DiskSpec {
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
  readonly readonly: boolean;
  readonly serial: string;
}

/** Everything a driver needs to know about one launch; no decision is left to it but how to say it. */
export interface LaunchSpec {
  readonly vmId: number;
  readonly name: string;
  readonly machine: 'microvm' | 'q35';
  readonly cpuCores: number;
  readonly memoryMb: number;
  readonly kernelPath: string;
  readonly initramfsPath: string | null;
  /** The whole command line, `volant.*` arguments included. */
  readonly kernelCmdline: string;
  readonly disks: readonly DiskSpec[];
  readonly network: { readonly tapName: string; readonly macAddress: string } | null;
  /** null: no device for it. */
  readonly vsockCid: number | null;
  /** Addresses of devices on vfio-pci; a machine with PCI. */
  readonly pciDevices: readonly string[];
  readonly runDirectory: string;
  readonly start: { readonly kind: 'cold' };
}

/** Files that every driver makes in the run directory; recovery and clients rely on the names. */
export const RUN_FILES = {
  control: 'control.sock',
  agent: 'agent.sock',
  serial: 'serial.sock',
  consoleLog: 'console.log',
  hypervisorLog: 'hypervisor.log',
  pidFile: 'hypervisor.pid',
} as const;

/** Why a guest's machine ended, as its hypervisor told it. */
export type GuestEnd = 'power-off' | 'reset' | 'panic' | 'host-request';

/** A connection to a hypervisor's control socket. */
export interface ControlConnection {
  /** What the hypervisor said about the guest's end; undefined while it runs or if it said nothing. */
  readonly guestEnd: GuestEnd | undefined;
  /** Resolves when the connection is over and everything that was sent on it has been read. */
  readonly ended: Promise<void>;
  /** Presses the power button. */
  powerButton(): Promise<void>;
  /** 'running', 'paused' or what else the hypervisor says. */
  status(): Promise<string>;
  close(): void;
}

/** A guest's workload, as its agent sees it. */
export interface WorkloadHealth {
  readonly state: string;
  /** null where the manifest has no health check. */
  readonly healthy: boolean | null;
}

/** The channel to the agent in a guest; connects by itself and again after it was lost. */
export interface AgentConnection {
  /** true while the agent answers: after the first HELLO_ACK and until the connection is lost. */
  readonly connected: boolean;
  /** Resolves when the agent answered for the first time, rejects with the signal's reason. */
  ready(signal: AbortSignal): Promise<void>;
  /** Gives the agent the manifest that did not fit on the command line. */
  sendManifest(manifestJson: string, signal: AbortSignal): Promise<void>;
  /** What the agent says of its workload. Rejects when it does not answer in time. */
  health(signal: AbortSignal): Promise<WorkloadHealth>;
  /** Asks for an orderly power-off; resolves when the agent has accepted. */
  powerOff(signal: AbortSignal): Promise<void>;
  /**
   * A stream to the agent's HTTP server, for one request. To its user it is a TCP connection; it is
   * destroyed with an error when the channel is lost. AGENT_UNREACHABLE while the agent does not answer,
   * OVERLOADED when LIMITS.agentStreamsMax are open.
   */
  open(): Duplex;
  /**
   * A connection to a TCP port of the guest's loopback address. Rejects when nobody listens there, and
   * with what open() throws.
   */
  connect(port: GuestPort, signal: AbortSignal): Promise<Duplex>;
  close(): void;
}

export interface HypervisorPort {
  /** LaunchSpec -> command line. Pure. */
  command(
    spec: LaunchSpec,
    facts: HypervisorFacts,
  ): { executable: string; argv: readonly string[] };
  /** Connects to the control socket and resolves when the hypervisor answered. Retries until the signal aborts. */
  connect(
    driver: DriverName,
    runDirectory: string,
    signal: AbortSignal,
  ): Promise<ControlConnection>;
  /** null where the driver has no agent (the simulator). */
  agent(driver: DriverName, runDirectory: string): AgentConnection | null;
  /** A connection to the guest's serial port. Rejects with what the system says. */
  console(runDirectory: string): Promise<Duplex>;
}
