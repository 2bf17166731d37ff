// engine, ports: what the engine needs of hypervisors and of the agents in their guests. src/hypervisor implements it.
// No code except shared names.

import type { Duplex } from 'node:stream';
import type { DriverName } from '../../config/drivers.ts';
import type { DiskFormat } from '../../lib/formats/image-formats.ts';
import type { Simulation } from '../../schema/simulation.ts';
import type { GuestPort } from './network-ports.ts';
import type { HypervisorFacts, ProcessExit } from './process-ports.ts';

export type { Simulation };

export interface DiskSpec {
  readonly path: string;
  /** The base image of an overlay; null for a disk that is an image itself. */
  readonly basePath: string | null;
  readonly format: DiskFormat;
  readonly readonly: boolean;
  readonly serial: string;
}

/** Everything that a driver must know about one launch. The driver only translates it to a command line. */
export interface LaunchSpec {
  readonly vmId: number;
  readonly name: string;
  readonly machine: 'microvm' | 'q35';
  readonly cpuCores: number;
  readonly memoryMb: number;
  readonly kernelPath: string;
  readonly initramfsPath: string | null;
  /** The whole command line, including `volant.*` arguments. */
  readonly kernelCmdline: string;
  readonly disks: readonly DiskSpec[];
  readonly network: { readonly tapName: string; readonly macAddress: string } | null;
  /** null: no vsock device. */
  readonly vsockCid: number | null;
  /** PCI addresses of devices that are bound to vfio-pci; they need a machine with PCI. */
  readonly pciDevices: readonly string[];
  readonly runDirectory: string;
  /** What a simulated hypervisor is to do. Drivers of real ones ignore it. */
  readonly simulation?: Simulation;
}

/** The file descriptor of the opened tap. A hypervisor cannot open taps itself. */
export const TAP_DESCRIPTOR = 3;

/** The file descriptor of the control socket, which listens already. */
export const CONTROL_DESCRIPTOR = 4;

/** Files in the run directory. Recovery and clients rely on these names. The driver makes all but the last two. */
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

/** Why a guest's machine ended, as reported by its hypervisor. */
export type GuestEnd = 'power-off' | 'reset' | 'panic' | 'host-request';

/** What a hypervisor counted for one disk since its launch. */
export interface DiskCounters {
  /** disk0 is the first one. */
  readonly device: string;
  readonly readBytes: number;
  readonly readOperations: number;
  readonly writtenBytes: number;
  readonly writeOperations: number;
  readonly flushOperations: number;
}

/** A connection to a hypervisor's control socket. */
export interface ControlConnection {
  /** What the hypervisor reported about the guest's end; undefined while it runs, or if it reported nothing. */
  readonly guestEnd: GuestEnd | undefined;
  /** Resolves when the connection is closed and everything received on it has been read. */
  readonly ended: Promise<void>;
  /** Calls the listener each time the guest is paused because a disk of the host is full. */
  onDiskFull(listener: () => void): void;
  /** Resumes a paused guest. */
  resume(): Promise<void>;
  /** Presses the power button. */
  powerButton(): Promise<void>;
  /** The hypervisor's run state, such as 'running' or 'paused'. */
  status(): Promise<string>;
  /** The counters of the disks, in their order. Rejects after LIMITS.statsQueryTimeoutMs. */
  diskCounters(): Promise<readonly DiskCounters[]>;
  /**
   * As `status`, without a timeout: the caller decides when an answer is late. Rejects if the connection ends before.
   */
  pulse(): Promise<string>;
  close(): void;
}

/** The health of a guest's workload, as reported by its agent. */
export interface WorkloadHealth {
  readonly state: string;
  /** The result of the last check; null before the first one, and without checks. */
  readonly healthy: boolean | null;
  /**
   * The kind of check: http, tcp, exec, listen (the default: its port must listen) or none; empty from older agents.
   */
  readonly check: string;
  /** Why the last check failed; empty if it did not. */
  readonly checkFailure: string;
  readonly restarts: number;
  /** How it ended last; empty before the first end. */
  readonly lastExit: string;
  /** The exit status of its last end, if it exited. */
  readonly exitCode: number | null;
  /** The signal of its last end, if a signal ended it. */
  readonly exitSignal: number | null;
  /** Its last output before it ended, while there is a reason. */
  readonly lastLines: readonly string[];
  /** A message for people; empty for none, and from older agents. */
  readonly reason: string;
}

/** A result that a workload has posted. Its client waits until it is settled. */
export interface PostedResult {
  /** The agent's number of it. */
  readonly number: number;
  /** It was posted as JSON, which was not checked. */
  readonly isJson: boolean;
  readonly bytes: Buffer;
}

/** `refused`: it is not what it says it is. `failed`: the guest may try again. */
export type ResultStatus = 'kept' | 'refused' | 'failed';

/** The channel to the agent in a guest. It connects by itself, and again after a loss. */
export interface AgentConnection {
  /** Whether the agent answers: true after the first HELLO_ACK, until the connection is lost. */
  readonly connected: boolean;
  /** Whether the agent has ever answered. */
  readonly wasConnected: boolean;
  /** Resolves when the agent has answered for the first time. Rejects with the signal's reason. */
  ready(signal: AbortSignal): Promise<void>;
  /**
   * Resolves when the agent answers, however late. Rejects if it is not connected or the connection is lost before. It
   * is cheap and opens no stream.
   */
  pulse(): Promise<void>;
  /** Sends the manifest that did not fit on the command line. */
  sendManifest(manifestJson: string, signal: AbortSignal): Promise<void>;
  /** Sends what the metadata service of the guest shows. The service begins with the first call. */
  sendMetadata(documentJson: string, signal: AbortSignal): Promise<void>;
  /** The result that waits to be settled; null if none does. */
  postedResult(signal: AbortSignal): Promise<PostedResult | null>;
  /** Has the client of a result answered. Does nothing if it does not wait any more. */
  settleResult(number: number, status: ResultStatus, signal: AbortSignal): Promise<void>;
  /** Calls the listener when a result was posted, and after each connect. One listener at a time. */
  onResult(listener: () => void): void;
  /** What the agent reports about its workload. Rejects if it does not answer in time. */
  health(signal: AbortSignal): Promise<WorkloadHealth>;
  /**
   * Calls the listener when something has changed for the workload, and after each connect. Agents of older images do
   * not report changes. One listener at a time.
   */
  onChange(listener: () => void): void;
  /**
   * Asks for an orderly power-off. Resolves when the agent has accepted. The workload gets `timeoutMs`; a later call
   * replaces that.
   */
  powerOff(timeoutMs: number, signal: AbortSignal): Promise<void>;
  /**
   * A stream to the agent's HTTP server, for one request. It behaves as a TCP connection and is destroyed with an error
   * if the channel is lost. Throws AGENT_UNREACHABLE while the agent does not answer, OVERLOADED if
   * LIMITS.agentStreamsMax streams are open.
   */
  open(): Duplex;
  /** As open(), for requests about execs, with LIMITS.execStreamsMax. */
  openExec(): Duplex;
  /** As open(), for watches of files, with LIMITS.fileWatchesPerVmMax. */
  openWatch(): Duplex;
  /**
   * A connection to a port of the guest's loopback address. Rejects if nothing listens there, and with the errors of
   * open(); the maximum number here is a setting.
   */
  connect(port: GuestPort, signal: AbortSignal): Promise<Duplex>;
  close(): void;
}

/** A complaint of a hypervisor that has an error code of its own. */
export type HypervisorComplaint = 'cid-taken';

export interface HypervisorPort {
  /** The command line for a LaunchSpec. Pure. */
  command(
    spec: LaunchSpec,
    facts: HypervisorFacts,
  ): { executable: string; argv: readonly string[] };
  /** The complaint in a stderr tail; null for none. Pure. */
  complaintIn(driver: DriverName, lines: readonly string[]): HypervisorComplaint | null;
  /** Whether a guest ended its own machine because its timer does not fire. Pure. */
  hasBrokenClock(driver: DriverName, exit: ProcessExit): boolean;
  /** Connects to the control socket. Resolves when the hypervisor answers. Retries until the signal aborts. */
  connect(
    driver: DriverName,
    runDirectory: string,
    signal: AbortSignal,
  ): Promise<ControlConnection>;
  /** The channel to the agent; null if the driver has none. */
  agent(driver: DriverName, runDirectory: string): AgentConnection | null;
  /** A connection to the guest's serial port. Rejects with the system's error. */
  console(runDirectory: string): Promise<Duplex>;
}
