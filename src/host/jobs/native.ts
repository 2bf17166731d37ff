// jobs: loads the addon, and describes all that it exports. No other file does either. Every function is synchronous
// and may be called on any thread. Those that can fail throw an error with `code`, `errno`, `syscall` and `path`,
// like Node's own. The implementation is in native/addon.

import { createRequire } from 'node:module';
import { packageFile } from '../../lib/files/own-files.ts';

/**
 * What a launched process may do and see. Its root directory contains the paths named here, the host's programs, and
 * harmless devices.
 */
export interface SandboxOptions {
  /** User and group id; no supplementary groups. Not 0. */
  readonly uid: number;
  /** Numbers of capabilities(7) that the process keeps. It cannot get others back. */
  readonly capabilities: readonly number[];
  /** false: a network namespace without links, shared by the sandboxes of this daemon. */
  readonly hostNetwork: boolean;
  /** Absolute paths of files and directories, without symbolic links. The process sees them under the same names. */
  readonly readOnly: readonly string[];
  readonly readWrite: readonly string[];
  /** Character devices of the host. The process gets nodes of its own, for its user only. */
  readonly devices: readonly string[];
  readonly tasksMax: number;
  readonly filesMax: number;
  /** Bytes of memory that the process may lock. 0: as many as the daemon. */
  readonly lockedBytesMax: number;
}

/**
 * A persistent tap with a vnet header, which is made unless it exists, becomes a port of the bridge and is set up. Undo:
 * tapsDelete.
 */
interface TapOptions {
  readonly name: string;
  readonly bridge: string;
  /** The only user that may open it. */
  readonly owner: number;
}

interface LaunchOptions {
  readonly file: string;
  /** Including argv[0]. */
  readonly argv: readonly string[];
  /** Entries of the form NAME=value. */
  readonly env: readonly string[];
  readonly cwd: string;
  /** File that stdout and stderr are appended to. It is created with mode 0600. */
  readonly logPath: string;
  readonly cgroupProcsPath: string | null;
  /** The tap that the process has open as descriptor 3. */
  readonly tap: TapOptions | null;
  /** A unix socket, which must not exist yet. The process has it open as descriptor 4, and it listens already. */
  readonly controlPath: string | null;
  /** null: the process has the daemon's user and view of the host. */
  readonly sandbox: SandboxOptions | null;
  /** Whether the kernel may give it transparent huge pages. Default: as for any process. */
  readonly hugePages?: boolean;
}

interface Launched {
  readonly pid: number;
  readonly startTimeTicks: number;
  /** 0, or the errno with which the process could not join the cgroup. */
  readonly cgroupErrno: number;
  /** The caller owns it: exitWatchAdd takes it over, closeFd closes it. */
  readonly pidfd: number;
}

/**
 * A change of the network. gone, down, loose (no longer the port of a bridge): an interface of this name. address: an
 * IPv4 address of it was removed. table, rule: of nftables; `name` is the table's. missed: the kernel dropped
 * messages, so anything may have changed.
 */
export interface NetworkChange {
  readonly kind: 'gone' | 'down' | 'loose' | 'address' | 'table' | 'rule' | 'missed';
  readonly name: string;
}

export interface VolantNative {
  /**
   * Deletes all these taps in one request to the kernel, and returns when all are gone: no bridge has them, nobody can
   * open or see them, and their names are free. The kernel frees their memory afterwards. Absent ones are no error.
   */
  tapsDelete(names: readonly string[]): void;
  /** Returns when the kernel has freed the taps of all deletions so far. */
  tapsSettle(): void;
  /**
   * Adds keys to sets of this table of family bridge, and removes them, in the given order and in one transaction of
   * nftables. A key that is there is added without an error; removing one that is absent is ENOENT.
   */
  setElementsChange(
    table: string,
    changes: readonly {
      readonly verb: 'add' | 'delete';
      readonly set: string;
      readonly keys: readonly Uint8Array[];
    }[],
  ): void;
  /** Names of all interfaces of this network namespace. */
  linkNames(): string[];
  /** All interfaces, with the bridge or other device that each is a port of. */
  links(): { readonly name: string; readonly master: string | null; readonly isUp: boolean }[];
  /** Makes an interface a port of this bridge, and of no other, and sets it up. */
  linkJoin(name: string, bridge: string): void;
  /** Creates the bridge when it is absent, and adds this address to those that it has. */
  bridgeEnsure(name: string, address: string, prefixLength: number): void;
  /** Deletes a bridge. An absent one is no error. */
  bridgeDelete(name: string): void;
  /** Removes one address of an interface. An absent one is no error. */
  addressDelete(name: string, address: string, prefixLength: number): void;
  /** Returns the IPv4 addresses of an interface, each with its prefix length: 192.168.127.1/24. */
  linkAddresses(name: string): string[];
  /**
   * Removes from connection tracking what is sent to these UDP ports of the host, and every connection with these
   * addresses of guests. Returns how many entries were removed.
   */
  flowsForget(udpPorts: readonly number[], guests: readonly string[]): number;
  /**
   * Lists tracked connections that these addresses have begun. `port` is the destination's, 0 without one; `name` is for
   * flowsDelete.
   */
  flowsFrom(sources: readonly string[]): {
    readonly source: number;
    readonly destination: number;
    readonly protocol: number;
    readonly port: number;
    readonly name: Buffer;
  }[];
  /** Removes entries of connection tracking. One that has expired is no error. */
  flowsDelete(names: readonly Buffer[]): void;
  /**
   * Starts a process by clone(CLONE_VM | CLONE_VFORK | CLONE_PIDFD) and exec. It has a session of its own, and no
   * descriptor of the daemon but its log, its tap and its socket. Throws the error of any step until the exec, with the step as
   * `syscall`; those of the tap begin with `tap: `.
   */
  launch(options: LaunchOptions): Launched;
  /** Builds a sandbox and removes it again. Throws the error of the step that this host refuses, as `launch` would. */
  sandboxTry(options: { readonly cwd: string; readonly sandbox: SandboxOptions }): void;
  /**
   * Returns the processes that lead a session, work in a directory `<runtimeDirectory>/<vm id>`, and name the file
   * `pidFileName` in it after one of the options; a zombie is none. `pid`: only this process is looked at. A process that
   * may not be read is left out.
   */
  hypervisorsFind(pattern: {
    readonly runtimeDirectory: string;
    readonly pidFileName: string;
    readonly pidFileOptions: readonly string[];
    readonly pid: number | null;
  }): { readonly pid: number; readonly vmId: number; readonly startTimeTicks: number }[];
  /** Opens a pidfd, which the caller owns. */
  pidfdOpen(pid: number): number;
  pidfdSignal(pidfd: number, signal: number): void;
  closeFd(fd: number): void;
  /**
   * Gives the calling thread real-time priority, the lowest that there is (SCHED_RR, sched(7)), or takes it away; its nice
   * value stays. What it starts is ordinary, with a nice value that is not negative.
   */
  threadRealTime(isRealTime: boolean): void;
  /** Processor time that the calling thread has used, in ms. */
  threadCpuMs(): number;
  /** Measures the frequency of the host's time stamp counter for this time, in kHz. */
  tscKhz(durationMs: number): number;
  /**
   * Ends the process at once, without waiting for its threads. Node's own exit joins each worker thread, and a thread
   * that the kernel holds would then keep the process alive.
   */
  endProcess(status: number): never;
  /**
   * Locks the file until the descriptor is closed or the process ends. `heldBy` is the pid of the holder, null when
   * unknown.
   */
  lockFile(path: string): { readonly fd: number } | { readonly heldBy: number | null };
  /** Calls back for each watched process that ends. code and signal are null when they are unknown. */
  exitWatchStart(
    callback: (token: number, code: number | null, signal: string | null) => void,
  ): void;
  /** Watches a process and takes over its descriptor. */
  exitWatchAdd(pidfd: number, token: number): void;
  exitWatchStop(): void;
  /**
   * Calls back with each change of this network namespace that loses something, until exitWatchStop. Needs
   * exitWatchStart. Throws where the kernel does not report changes.
   */
  networkWatchStart(callback: (changes: readonly NetworkChange[]) => void): void;
  /** Returns the descriptors of this process that are listening sockets. */
  listeningSockets(): number[];
  /** Sets how many connections may wait in the kernel to be accepted, up to its own limit (somaxconn). */
  listenBacklog(fd: number, most: number): void;
  /** `kept`: a duplicate of the socket. `deaf`: a socket that does not listen. The caller owns both. */
  listenHandles(fd: number): { readonly kept: number; readonly deaf: number };
  /** Makes `fd` a duplicate of `by`. The former socket of `fd` stays open while another descriptor has it. */
  fdReplace(fd: number, by: number): void;
  /**
   * Opens a file such as /dev/vfio/7, puts the group into a container with an IOMMU, as a hypervisor would, and
   * closes both. The `syscall` of an error names the step that was refused.
   */
  vfioProbeGroup(path: string): void;
  /** Sets an extended attribute of a file. Paths are bytes, because those of an image need not be UTF-8. */
  xattrSet(path: Uint8Array, name: string, value: Uint8Array): void;
  /** Makes a device node or a FIFO; `mode` has its kind and permissions, as in mknod(2). */
  nodeMake(path: Uint8Array, mode: number, major: number, minor: number): void;
}

export const native: VolantNative = load();

function load(): VolantNative {
  const require = createRequire(import.meta.url);
  try {
    return require(packageFile('build/Release/volant_native.node')) as VolantNative;
  } catch (error) {
    const [reason] = (error instanceof Error ? error.message : String(error)).split('\n');
    const why = `Node ${process.version}, ABI ${process.versions.modules}: ${reason}`;
    throw new Error(
      `The addon cannot be loaded; build it with \`npm run build\` or \`volantd setup\` (${why})`,
    );
  }
}
