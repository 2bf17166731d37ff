// workers: the only loader of the addon, and the only description of what it exports. Every function
// is synchronous and may be called on any thread; those that can fail throw an error with `code`,
// `errno`, `syscall` and `path`, like Node's own.

import { createRequire } from 'node:module';

/** What a launched process may be and see. Its root holds what is named here, programs, and harmless devices. */
export interface SandboxOptions {
  /** User and group, without a supplementary one; not 0. */
  readonly uid: number;
  /** Numbers of capabilities(7) that it keeps; all others are gone for good. */
  readonly capabilities: readonly number[];
  /** false: a network without links, that it shares with others of this daemon. */
  readonly hostNetwork: boolean;
  /** Absolute paths of files and directories, without links, which it sees under the same names. */
  readonly readOnly: readonly string[];
  readonly readWrite: readonly string[];
  /** Character devices of the host: nodes of their own, for this user alone. */
  readonly devices: readonly string[];
  readonly tasksMax: number;
  readonly filesMax: number;
  /** Memory that it may pin; 0 is as much as the daemon itself. */
  readonly lockedBytesMax: number;
}

interface LaunchOptions {
  readonly file: string;
  /** argv[0] included. */
  readonly argv: readonly string[];
  /** NAME=value. */
  readonly env: readonly string[];
  readonly cwd: string;
  /** stdout and stderr are appended here; made with mode 0600. */
  readonly logPath: string;
  readonly cgroupProcsPath: string | null;
  /** The process has it open, as descriptor 3. */
  readonly tap: string | null;
  /** null: the process is what the daemon is. */
  readonly sandbox: SandboxOptions | null;
}

interface Launched {
  readonly pid: number;
  readonly startTimeTicks: number;
  /** 0, or why the process is not in the cgroup. */
  readonly cgroupErrno: number;
  /** The caller owns it: exitWatchAdd takes it over, closeFd ends it. */
  readonly pidfd: number;
}

/**
 * gone, down, loose (not the port of a bridge): an interface of this name. address: one of its IPv4 addresses was removed.
 * table, rule: of nftables; the name is that of the table. missed: news were lost, it can be anything.
 */
export interface NetworkChange {
  readonly kind: 'gone' | 'down' | 'loose' | 'address' | 'table' | 'rule' | 'missed';
  readonly name: string;
}

export interface VolantNative {
  /**
   * Makes a persistent tap with a vnet header, a port of the bridge, up; nobody but this user may open it. Idempotent.
   * Undo: tapsDelete.
   */
  tapAttach(name: string, bridge: string, ownerUid: number): void;
  /** Deletes all of them in one request to the kernel; absent ones are fine. All are gone afterwards. */
  tapsDelete(names: readonly string[]): void;
  /** Every interface of this network namespace. */
  linkNames(): string[];
  /** Every interface, with the bridge or the like that it is a port of. */
  links(): { readonly name: string; readonly master: string | null; readonly isUp: boolean }[];
  /** Makes an interface a port of this bridge and of no other, and up. */
  linkJoin(name: string, bridge: string): void;
  /** Makes the bridge when it is absent, and gives it this address beside those that it has. */
  bridgeEnsure(name: string, address: string, prefixLength: number): void;
  /** Absent is fine. */
  bridgeDelete(name: string): void;
  /** Takes one address from an interface. Absent is fine. */
  addressDelete(name: string, address: string, prefixLength: number): void;
  /** IPv4 addresses of an interface, each with its prefix length: 192.168.127.1/24. */
  linkAddresses(name: string): string[];
  /**
   * Makes connection tracking forget what is sent to these UDP ports of the host, and every connection
   * with these addresses of guests. Tells how many were forgotten.
   */
  flowsForget(udpPorts: readonly number[], guests: readonly string[]): number;
  /**
   * clone(CLONE_VM | CLONE_VFORK | CLONE_PIDFD) and exec: own session, no descriptor of ours but its
   * log and its tap. An error of any step until the exec is thrown here, with the step as `syscall`.
   */
  launch(options: LaunchOptions): Launched;
  /** Throws the step that this host refuses, as `launch` would; what it tried is gone afterwards. */
  sandboxTry(options: { readonly cwd: string; readonly sandbox: SandboxOptions }): void;
  /** The caller owns the descriptor. */
  pidfdOpen(pid: number): number;
  pidfdSignal(pidfd: number, signal: number): void;
  closeFd(fd: number): void;
  /** The frequency of the host's time stamp counter, measured for so long. */
  tscKhz(durationMs: number): number;
  /**
   * Ends the process at once, without waiting for its threads. Node's own exit joins each worker thread, so one that
   * the kernel does not give back would keep the process for ever.
   */
  endProcess(status: number): never;
  /** Takes the lock for the life of the process, or tells who has it. */
  lockFile(path: string): { readonly fd: number } | { readonly heldBy: number | null };
  /** Calls back for each process that ends. code and signal are null when nobody can tell. */
  exitWatchStart(
    callback: (token: number, code: number | null, signal: string | null) => void,
  ): void;
  /** Takes over the descriptor. */
  exitWatchAdd(pidfd: number, token: number): void;
  exitWatchStop(): void;
  /**
   * Calls back with what this network namespace loses, until exitWatchStop. Needs exitWatchStart. Throws where the kernel
   * does not tell.
   */
  networkWatchStart(callback: (changes: readonly NetworkChange[]) => void): void;
  /**
   * Opens a file such as /dev/vfio/7 and puts the group into a container with an IOMMU, as a hypervisor would,
   * and lets go of it again. Returns when that works; the error's `syscall` says what was refused.
   */
  vfioProbeGroup(path: string): void;
}

/** The compiled file as seen from dist/workers and from .build/src/workers. */
const CANDIDATES = [
  '../../build/Release/volant_native.node',
  '../../../build/Release/volant_native.node',
];

export const native: VolantNative = load();

function load(): VolantNative {
  const require = createRequire(import.meta.url);
  const reasons: string[] = [];
  for (const candidate of CANDIDATES) {
    try {
      return require(candidate) as VolantNative;
    } catch (error) {
      reasons.push(error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error));
    }
  }
  const why = `Node ${process.version}, ABI ${process.versions.modules}: ${reasons.join('; ')}`;
  throw new Error(
    `The addon cannot be loaded; build it with \`npm run build\` or \`volantd setup\` (${why})`,
  );
}
