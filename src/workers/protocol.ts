// workers: what crosses the thread boundary. Each job has a name, one argument and a result, all plain
// data; pool.ts and entry.ts both import this, so that neither can drift.

import type { MessagePort, TransferListItem } from 'node:worker_threads';
import type { AcceleratorChoice, HypervisorChoice, Isolation } from '../config.ts';
import type { DeviceFacts, FormerDriver } from '../engine/device-ports.ts';
import type {
  BootFile,
  BootSizes,
  DiskImage,
  KnownImage,
  KnownImages,
  MediaFacts,
  ProvidedDisk,
  SeedFiles,
} from '../engine/media-ports.ts';
import type {
  FilterEntry,
  Forward,
  ForwardTarget,
  GuestIdentity,
  NetworkSpec,
  PortProtocol,
  SeenNetwork,
} from '../engine/network-ports.ts';
import type {
  HostInventory,
  HypervisorFacts,
  KnownTrials,
  LaunchRequest,
} from '../engine/ports.ts';
import type { HostChanges, KvmTrial, ProcessIdentity, VmDescription } from '../engine/records.ts';
import type { FailPoint } from '../lib/fail-points.ts';
import type { Outcome } from '../lib/outcome.ts';
import type { Outbound } from '../lib/proxy.ts';

/** What a job must know of the daemon's settings. */
export interface HostSettings {
  readonly failPoint: FailPoint | null;
  readonly hostTag: string;
  /** Run directories of another home are none of ours. */
  readonly homeId: string;
  readonly runtimeDirectory: string;
  readonly mediaDirectories: readonly string[];
  readonly kernelVmlinux: string;
  readonly kernelBzImage: string;
  /** The operator's own: it may be anywhere. */
  readonly bootInitramfs: string;
  readonly hypervisor: HypervisorChoice;
  readonly accelerator: AcceleratorChoice;
  /** Where sysfs is; tests have one of their own. */
  readonly sysfsRoot: string;
  readonly mediaHosts: readonly string[];
  readonly outbound: Outbound;
  readonly cacheDirectory: string;
  readonly cacheBytesMax: number;
  readonly diskDirectory: string;
  readonly antiSpoofing: boolean;
  readonly guestIsolation: boolean;
  readonly isolation: Isolation;
  /** Of the daemon's own helpers; hypervisors have those after it. */
  readonly firstUid: number;
  /** Empty means those of the host. */
  readonly nameServers: readonly string[];
}

/** A pidfd comes with it: whoever gets this owns the descriptor. */
export interface LaunchedProcess {
  readonly identity: ProcessIdentity;
  readonly pidfd: number;
  /** Why the limits of its cgroup do not hold; null when they do. */
  readonly withoutLimits: string | null;
}

export interface InspectedMedia extends MediaFacts {
  /** Another text when the file is changed or replaced. */
  readonly version: string;
}

export interface CpuSample {
  readonly busy: number;
  readonly total: number;
}

/** As SeenNetwork; of rules there is a text that is another one when they were changed, null without a table. */
export interface LookedAtNetwork
  extends Pick<SeenNetwork, 'bridge' | 'taps' | 'shards' | 'ipForward' | 'routeLocalnet'> {
  readonly nat: string | null;
  readonly filter: {
    readonly rules: string | null;
    readonly entries: readonly FilterEntry[];
    readonly taken: readonly string[];
  };
  readonly ports: { readonly rules: string | null; readonly forwards: readonly Forward[] };
}

/** Name of a job -> [argument, result]. */
export interface Jobs {
  planNetwork: [{ spec: NetworkSpec; changes: HostChanges }, HostChanges];
  /** Results of jobs that write rules: as in LookedAtNetwork. */
  ensureNetwork: [{ settings: HostSettings; spec: NetworkSpec; changes: HostChanges }, string];
  lookAtNetwork: [
    { settings: HostSettings; spec: NetworkSpec; isNeeded: boolean },
    LookedAtNetwork,
  ];
  joinTaps: [
    {
      settings: HostSettings;
      spec: NetworkSpec;
      taps: readonly { readonly tapName: string; readonly shard: number }[];
    },
    null,
  ];
  ensureShard: [{ settings: HostSettings; spec: NetworkSpec; shard: number }, null];
  findShards: [{ settings: HostSettings }, { shard: number; tapNames: readonly string[] }[]];
  removeShard: [{ settings: HostSettings; shard: number }, null];
  removeNetwork: [{ settings: HostSettings; spec: NetworkSpec; changes: HostChanges }, null];
  makeGuestFilter: [
    { settings: HostSettings; spec: NetworkSpec; guests: readonly GuestIdentity[] },
    string | null,
  ];
  changeGuestFilter: [
    {
      settings: HostSettings;
      admitted: readonly GuestIdentity[];
      left: readonly GuestIdentity[];
    },
    null,
  ];
  serveLeases: [
    {
      settings: HostSettings;
      spec: NetworkSpec;
      guests: readonly GuestIdentity[];
      /** The process whose end the caller would learn of. */
      watchedPid: number | null;
    },
    { pidfd: number; identity: ProcessIdentity } | null,
  ];
  setForwards: [
    {
      settings: HostSettings;
      spec: NetworkSpec;
      forwards: readonly Forward[];
      standing: readonly Forward[] | null;
      /** What the bridge's setting goes back to when no forward is left; null: it stays. */
      routeLocalnetBefore: string | null;
    },
    /** undefined: they stayed, and with them all but ports and targets. */
    { rules: string | null | undefined },
  ];
  countConnections: [{ targets: readonly ForwardTarget[] }, number | null];
  findPortOwner: [{ protocol: PortProtocol; port: number }, string | null];
  removeTaps: [{ tapNames: readonly string[]; forgottenAddresses: readonly string[] }, null];
  removeRunDirectory: [{ settings: HostSettings; vmId: number }, null];
  launch: [
    /** The shard is that of the tap, if there is one. */
    { settings: HostSettings; request: LaunchRequest; shard: number },
    LaunchedProcess,
  ];
  endBoot: [{ settings: HostSettings; identity: ProcessIdentity; cgroupName: string }, null];
  openHypervisor: [
    { settings: HostSettings; vmId: number; identity: ProcessIdentity },
    { pidfd: number | null },
  ];
  removeCgroup: [{ settings: HostSettings; cgroupName: string | null }, null];
  inspectMedia: [{ settings: HostSettings; path: string; kind: BootFile | null }, InspectedMedia];
  sha256Of: [{ path: string }, string];
  findCached: [{ settings: HostSettings; digest: string }, MediaFacts | null];
  fetchMedium: [
    /** The port carries MediaProgress; whatever comes back means the end. */
    { settings: HostSettings; url: string; digest: string | null; progress: MessagePort },
    MediaFacts,
  ];
  trimCache: [{ settings: HostSettings; pinned: readonly string[]; freeBytes: number }, number];
  recallImages: [{ settings: HostSettings; vmId: number }, KnownImages];
  provideDisks: [
    {
      settings: HostSettings;
      vmId: number;
      disks: readonly DiskImage[];
      initramfs: KnownImage | null;
    },
    readonly ProvidedDisk[],
  ];
  writeSeed: [{ settings: HostSettings; vmId: number; files: SeedFiles }, string];
  removeDisks: [{ settings: HostSettings; vmId: number }, null];
  findKernel: [{ settings: HostSettings }, MediaFacts];
  measureBoot: [{ kernelPath: string; initramfsPath: string | null }, BootSizes];
  readLogTail: [{ path: string }, readonly string[]];
  readConsole: [{ settings: HostSettings; vmId: number }, Uint8Array];
  documentToJson: [{ readonly text: string }, string];
  readDocument: [{ settings: HostSettings; path: string }, Uint8Array];
  findOomKill: [
    { settings: HostSettings; cgroupName: string },
    { readonly ofCgroup: number | null; readonly hitLimit: boolean; readonly ofHost: number },
  ];
  trimLogs: [{ settings: HostSettings; vmIds: readonly number[] }, null];
  describeVms: [{ settings: HostSettings; descriptions: readonly VmDescription[] }, null];
  takeInventory: [{ settings: HostSettings }, HostInventory];
  probeHypervisor: [
    { settings: HostSettings; known: KnownTrials },
    { facts: HypervisorFacts; kvmTrials: Readonly<Record<string, KvmTrial>> },
  ];
  measureUsage: [
    { before: CpuSample | null },
    { after: CpuSample; cpuPercent: number; memPercent: number },
  ];
  readNameServers: [Record<string, never>, readonly string[]];
  inspectDevices: [
    { settings: HostSettings; addresses: readonly string[] },
    readonly DeviceFacts[],
  ];
  readOverride: [{ settings: HostSettings; address: string }, string];
  bindDevice: [{ settings: HostSettings; address: string }, null];
  releaseDevice: [{ settings: HostSettings; address: string; former: FormerDriver }, null];
  probeGroups: [{ settings: HostSettings; groups: readonly string[] }, null];
  /** Does nothing: that it comes back is what its caller wants to know. */
  ping: [Record<string, never>, null];
}

export type JobName = keyof Jobs;
export type JobArgument<N extends JobName> = Jobs[N][0];
export type JobResult<N extends JobName> = Jobs[N][1];
/** What comes back of any job. */
export type AnyOutcome = Outcome<JobResult<JobName>>;

/** Runs a job on some thread. What it throws, or says that it failed for, is thrown. */
export type Run = <N extends JobName>(
  name: N,
  argument: JobArgument<N>,
  transferList?: readonly TransferListItem[],
) => Promise<JobResult<N>>;
