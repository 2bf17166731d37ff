// engine: what the engine needs from the world, as types; of store, network, images and devices in files of their own.
// hypervisor and workers implement these and import nothing else from here; daemon.ts joins them. No code.

import type { Duplex } from 'node:stream';
import type { DiskFormat } from '../lib/image-formats.ts';
import type { DeviceHost } from './device-ports.ts';
import type { MediaHost } from './media-ports.ts';
import type { GuestIdentity, GuestPort, NetworkHost, NetworkSpec } from './network-ports.ts';
import type {
  Accelerator,
  DriverName,
  KvmTrial,
  ProcessIdentity,
  VmDescription,
} from './records.ts';

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
  /** A guest boots in it: until endBoot it has a greater share of the processors than those that run. */
  readonly boots: boolean;
  /** null: the process is what the daemon is, and sees what it sees. */
  readonly sandbox: SandboxSpec | null;
}

/** What one hypervisor may be and see, beside its run directory, its executable and the host's programs. */
export interface SandboxSpec {
  /** Its user and group; no other hypervisor that lives has it. */
  readonly uid: number;
  readonly readOnly: readonly string[];
  /** Made its user's own. */
  readonly readWrite: readonly string[];
  readonly devices: readonly string[];
  /** Addresses of devices on vfio-pci: it is given their groups. */
  readonly pciDevices: readonly string[];
  /** Memory that it may pin; 0 is as much as anybody. */
  readonly lockedBytesMax: number;
}

/** What the hypervisor probe found. */
export interface HypervisorFacts {
  readonly driver: DriverName;
  readonly executable: string;
  readonly version: string;
  readonly accelerator: Accelerator;
  /** Why this accelerator, a sentence for a person. */
  readonly reason: string;
  /** The trial by which that was decided; null where there was none. */
  readonly kvmTrial: KvmTrial | null;
  /** The host's TSC frequency; TCG hands the host's counter to its guests. */
  readonly tscKhz: number;
  /** Guests can have a socket of the family vsock that the host reaches by their CID. */
  readonly vhostVsock: boolean;
  /** Directories from which it reads firmware and option ROMs, in the order in which it looks. */
  readonly dataDirectories: readonly string[];
}

/** Trials of KVM, each by what it was a trial of. */
export interface KnownTrials {
  readonly trials: Readonly<Record<string, KvmTrial>>;
  /** One that did not work may be repeated; else only what was never tried is tried. */
  readonly mayTryAgain: boolean;
  /** By the wall clock, to be shown. */
  readonly nowMs: number;
}

/** A cgroup (version 2) for one hypervisor, and what its processes may use together. */
export interface CgroupSpec {
  readonly name: string;
  readonly memoryBytesMax: number;
  readonly tasksMax: number;
  /** Of the host's processors, at the same time. */
  readonly cpusMax: number;
}

/** What is known of processes that the kernel has killed for want of memory. */
export interface OomEvidence {
  /** How many of one cgroup; null where the host does not count them for each. */
  readonly ofCgroup: number | null;
  /** It had as much memory as it may have; else it was the host that had none left. */
  readonly hitLimit: boolean;
  /** Some process of the host was killed so since this was asked last, or since the daemon was started. */
  readonly isNewOnHost: boolean;
}

/** Objects in the kernel and on disk that carry this daemon's tag. */
export interface HostInventory {
  readonly bootId: string;
  readonly tapNames: readonly string[];
  readonly runDirectoryIds: readonly number[];
  readonly diskDirectoryIds: readonly number[];
  /** Hypervisors that work in one of our run directories. */
  readonly processes: readonly { readonly vmId: number; readonly identity: ProcessIdentity }[];
  readonly cgroupNames: readonly string[];
  /** VMs whose hypervisor removed its pid file: it ended in good order. */
  readonly orderlyExitIds: readonly number[];
}

/** Work that may block: everything here runs on worker threads. Every method rejects with VolantError. */
export interface HostPort extends NetworkHost, MediaHost, DeviceHost {
  removeRunDirectory(vmId: number): Promise<void>;
  /**
   * Makes run directory, tap, cgroup and process, in this order. When one fails those before it stay:
   * removeRunDirectory, removeTap and removeCgroup take them back.
   */
  launch(request: LaunchRequest): Promise<WatchedProcess>;
  /**
   * Leaves in run directories what a daemon that has lost its records needs of these VMs, in place of what was left
   * before. A VM without a run directory is left out.
   */
  describeVms(descriptions: readonly VmDescription[]): Promise<void>;
  /**
   * Gives a hypervisor that was launched the same share of the processors as others: its guest has booted. Until
   * then it has more, where the host can do that. A process that is gone is no error.
   */
  endBoot(identity: ProcessIdentity, cgroupName: string): Promise<void>;
  /**
   * Watches a hypervisor of this VM that another daemon launched. null when it is gone, not the same any more, or not
   * one that works in the VM's run directory.
   */
  adopt(vmId: number, identity: ProcessIdentity): Promise<WatchedProcess | null>;
  /** Removes a VM's cgroup. Absent is fine. */
  removeCgroup(cgroupName: string): Promise<void>;
  /** Removes the daemon's own cgroup, which must have no children left. Absent is fine. */
  removeCgroupRoot(): Promise<void>;
  /** The last lines of a log, oldest first, cut to LIMITS. Missing is empty. */
  readLogTail(path: string): Promise<readonly string[]>;
  /** What a VM printed last on its console, at most LIMITS.consoleReplayBytesMax. Nothing is empty. */
  readConsole(vmId: number): Promise<Uint8Array>;
  /** What the kernel tells of processes that it has killed for want of memory. */
  findOomKill(cgroupName: string): Promise<OomEvidence>;
  /** Cuts logs of these VMs back to LIMITS.logBytesMax. */
  trimLogs(vmIds: readonly number[]): Promise<void>;
  inventory(): Promise<HostInventory>;
  /** Finds and checks the hypervisor, boots a KVM canary where that is needed. HYPERVISOR_MISSING. */
  probeHypervisor(known: KnownTrials): Promise<{
    readonly facts: HypervisorFacts;
    readonly kvmTrials: Readonly<Record<string, KvmTrial>>;
  }>;
  /** Percentages of the whole host, 0 to 100, always finite. */
  usage(): Promise<{ readonly cpuPercent: number; readonly memPercent: number }>;
  /** What the daemon and its VMs may have of the host. */
  size(): { readonly memoryMb: number; readonly cpuCores: number };
  /** Name servers of the host that a guest can reach (no loopback addresses). */
  nameServers(): Promise<readonly string[]>;
  /** Resolves when some thread has carried out a job, at once when one did so within the last `recentMs`. */
  probeThreads(recentMs: number): Promise<void>;
  /** Jobs that were given up and have not come back: something on the host hangs. */
  hangingJobs(): number;
  /** Lets jobs end, within a bound. */
  close(): Promise<void>;
}

// ----------------------------------------------------------------------------------- hypervisor

export interface DiskSpec {
  readonly path: string;
  /** The image that an overlay lies on; null for a disk that is an image itself. */
  readonly basePath: string | null;
  readonly format: DiskFormat;
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

/** A hypervisor finds its tap here, opened for it: it can open none itself. */
export const TAP_DESCRIPTOR = 3;

/** Files in the run directory; recovery and clients rely on the names. Those but the last two are made by the driver. */
export const RUN_FILES = {
  control: 'control.sock',
  agent: 'agent.sock',
  serial: 'serial.sock',
  consoleLog: 'console.log',
  hypervisorLog: 'hypervisor.log',
  pidFile: 'hypervisor.pid',
  homeId: 'home.id',
  description: 'vm.json',
} as const;

/** Why a guest's machine ended, as its hypervisor told it. */
export type GuestEnd = 'power-off' | 'reset' | 'panic' | 'host-request';

/** A connection to a hypervisor's control socket. */
export interface ControlConnection {
  /** What the hypervisor said about the guest's end; undefined while it runs or if it said nothing. */
  readonly guestEnd: GuestEnd | undefined;
  /** Resolves when the connection is over and everything that was sent on it has been read. */
  readonly ended: Promise<void>;
  /** Calls back each time that the guest was paused because a disk of the host is full. */
  onDiskFull(listener: () => void): void;
  /** Lets a guest that was paused go on. */
  resume(): Promise<void>;
  /** Presses the power button. */
  powerButton(): Promise<void>;
  /** 'running', 'paused' or what else the hypervisor says. */
  status(): Promise<string>;
  /** The same without a bound: whoever asks knows when it is late. Rejects when the connection ends before. */
  pulse(): Promise<string>;
  close(): void;
}

/** A guest's workload, as its agent sees it. */
export interface WorkloadHealth {
  readonly state: string;
  /** What its check said last; null before the first verdict and where nothing is checked. */
  readonly healthy: boolean | null;
  /** How it is checked: http, tcp, exec, listen (nothing is said: its port must listen) or none; empty from older agents. */
  readonly check: string;
  /** Why the last check failed; empty when it did not. */
  readonly checkFailure: string;
  readonly restarts: number;
  /** Of its last end; empty before the first one. */
  readonly lastExit: string;
  /** Of its last end, where it ended by itself. */
  readonly exitCode: number | null;
  /** Of its last end, where a signal ended it. */
  readonly exitSignal: number | null;
  /** What it wrote last before it ended, while there is a reason. */
  readonly lastLines: readonly string[];
  /** What a person must know; empty when there is nothing, and from older agents. */
  readonly reason: string;
}

/** The channel to the agent in a guest; connects by itself and again after it was lost. */
export interface AgentConnection {
  /** true while the agent answers: after the first HELLO_ACK and until the connection is lost. */
  readonly connected: boolean;
  /** true from the first HELLO_ACK on. */
  readonly wasConnected: boolean;
  /** Resolves when the agent answered for the first time, rejects with the signal's reason. */
  ready(signal: AbortSignal): Promise<void>;
  /**
   * Resolves when the agent has answered, however late. Rejects when it is not connected, and when the connection is lost
   * before. It costs next to nothing and opens no stream.
   */
  pulse(): Promise<void>;
  /** Gives the agent the manifest that did not fit on the command line. */
  sendManifest(manifestJson: string, signal: AbortSignal): Promise<void>;
  /** What the agent says of its workload. Rejects when it does not answer in time. */
  health(signal: AbortSignal): Promise<WorkloadHealth>;
  /**
   * Calls back when something has changed for its workload, and whenever the agent was connected to. Agents of older
   * images do not tell. One listener at a time.
   */
  onNews(listener: () => void): void;
  /**
   * Asks for an orderly power-off; resolves when the agent has accepted. What runs in the guest gets so long; asked
   * again, the last word counts.
   */
  powerOff(timeoutMs: number, signal: AbortSignal): Promise<void>;
  /**
   * A stream to the agent's HTTP server, for one request. To its user it is a TCP connection; it is
   * destroyed with an error when the channel is lost. AGENT_UNREACHABLE while the agent does not answer,
   * OVERLOADED when LIMITS.agentStreamsMax are open.
   */
  open(): Duplex;
  /**
   * A connection to a port of the guest's loopback address. Rejects when nobody listens there, and with
   * what open() throws; here as many may be open as the setting says.
   */
  connect(port: GuestPort, signal: AbortSignal): Promise<Duplex>;
  close(): void;
}

/** What a hypervisor said that its client can do something about. */
export type HypervisorComplaint = 'cid-taken';

export interface HypervisorPort {
  /** LaunchSpec -> command line. Pure. */
  command(
    spec: LaunchSpec,
    facts: HypervisorFacts,
  ): { executable: string; argv: readonly string[] };
  /** Of the last lines that a hypervisor wrote. Pure. */
  complaintIn(lines: readonly string[]): HypervisorComplaint | null;
  /** Whether a guest ended its machine itself because no timer fires in it. Pure. */
  hasBrokenClock(exit: ProcessExit): boolean;
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
