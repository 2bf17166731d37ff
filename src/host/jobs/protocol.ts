// jobs: the types that cross the thread boundary. Each job has a name, one argument and one result, all plain data.
// The callers and the entry of the threads import the same table, so they cannot differ.

import type { MessagePort, TransferListItem } from 'node:worker_threads';
import type { RegistrySettings } from '../../config/registries.ts';
import type { AcceleratorChoice, HypervisorChoice, Isolation } from '../../config.ts';
import type { DeviceFacts, FormerDriver } from '../../engine/ports/device-ports.ts';
import type {
  BootSizes,
  DiskImage,
  ImageFacts,
  KnownImage,
  KnownImages,
  MediaFacts,
  MediaKind,
  ProvidedDisk,
  SeedFiles,
  StoredImage,
} from '../../engine/ports/media-ports.ts';
import type {
  EgressCount,
  EgressEntrySeen,
  EgressGuest,
  FilterEntry,
  Forward,
  ForwardTarget,
  GuestIdentity,
  NetworkSpec,
  PortProtocol,
  SeenNetwork,
} from '../../engine/ports/network-ports.ts';
import type {
  HostInventory,
  HypervisorFacts,
  KnownTrials,
  LaunchRequest,
} from '../../engine/ports/process-ports.ts';
import type { HostReading, VmsReading } from '../../engine/ports/stats-ports.ts';
import type {
  HostChanges,
  KvmTrial,
  ProcessIdentity,
  VmDescription,
} from '../../engine/records.ts';
import type { FailPoint } from '../../lib/fail-points.ts';
import type { EgressRules } from '../../lib/net/egress.ts';
import type { Outbound } from '../../lib/net/proxy.ts';
import type { Outcome } from '../../lib/outcome.ts';

/** The daemon's settings that jobs need. */
export interface HostSettings {
  readonly failPoint: FailPoint | null;
  readonly hostTag: string;
  /** Run directories with another home id belong to another daemon. */
  readonly homeId: string;
  readonly runtimeDirectory: string;
  readonly mediaDirectories: readonly string[];
  readonly kernelVmlinux: string;
  readonly kernelBzImage: string;
  /** Set by the operator, so it may be outside of mediaDirectories. */
  readonly bootInitramfs: string;
  readonly hypervisor: HypervisorChoice;
  readonly accelerator: AcceleratorChoice;
  /** Mount point of sysfs. Tests have a directory of their own. */
  readonly sysfsRoot: string;
  readonly mediaHosts: readonly string[];
  readonly outbound: Outbound;
  readonly registries: RegistrySettings;
  readonly cacheDirectory: string;
  readonly cacheBytesMax: number;
  readonly diskDirectory: string;
  readonly antiSpoofing: boolean;
  readonly guestIsolation: boolean;
  readonly isolation: Isolation;
  /** User id of the daemon's helpers, such as dnsmasq. Those after it are the hypervisors'. */
  readonly firstUid: number;
  /** Empty: the name servers of the host. */
  readonly nameServers: readonly string[];
}

/** A new process. The receiver owns the pidfd. */
export interface LaunchedProcess {
  readonly identity: ProcessIdentity;
  readonly pidfd: number;
  /** Why the limits of its cgroup are not in force; null when they are. */
  readonly withoutLimits: string | null;
}

/** A hypervisor of an earlier daemon, as its record has it. */
export interface HypervisorToOpen {
  readonly vmId: number;
  readonly identity: ProcessIdentity;
}

/** Something that a VM leaves behind. A cgroup without a name is the root of all. */
export type Remains =
  | { readonly kind: 'run-directory' | 'disks'; readonly vmId: number }
  | { readonly kind: 'cgroup'; readonly name: string | null };

export interface InspectedMedia extends MediaFacts {
  /** Changes when the file is changed or replaced. */
  readonly version: string;
}

/** Ticks since the boot of the host. */
export interface CpuSample {
  readonly busy: number;
  readonly total: number;
}

/** Like SeenNetwork, with a digest in place of each comparison of rules. null: the table does not exist. */
export interface NetworkReading
  extends Pick<
    SeenNetwork,
    'bridge' | 'taps' | 'secondaryBridges' | 'ipForward' | 'routeLocalnet'
  > {
  readonly nat: string | null;
  readonly filter: {
    readonly rules: string | null;
    readonly entries: readonly FilterEntry[];
    readonly taken: readonly string[];
    readonly owners: SeenNetwork['filter']['owners'];
  };
  readonly ports: { readonly rules: string | null; readonly forwards: readonly Forward[] };
  readonly egress: EgressReading;
}

/** The tables of egress rules as the kernel has them. */
export interface EgressReading {
  /** A digest of the rules that do not depend on policies. null: a table is missing. */
  readonly rules: string | null;
  readonly policies: readonly PolicyDigest[];
  readonly entries: readonly EgressEntrySeen[];
}

/** A digest of the rules of one policy. */
export interface PolicyDigest {
  readonly id: string;
  readonly digest: string;
}

/** A port of the host's address on which the resolver of a policy listens. */
export interface ResolverPort {
  readonly policyId: string;
  readonly port: number;
}

/** MeteredVm of several VMs in few values, because copying thousands of objects to a thread takes long. */
export interface PackedVms {
  /** Pid and start time of each. */
  readonly processes: Float64Array<ArrayBuffer>;
  /** Separated by blanks; "-" for a VM without a tap. */
  readonly tapNames: string;
  readonly cgroupNames: string;
}

/** All jobs: name -> [argument, result]. */
export interface Jobs {
  planNetwork: [{ spec: NetworkSpec; changes: HostChanges }, HostChanges];
  /** Jobs that write rules return their digest, as in NetworkReading. */
  ensureNetwork: [{ settings: HostSettings; spec: NetworkSpec; changes: HostChanges }, string];
  readNetwork: [{ settings: HostSettings; spec: NetworkSpec; isNeeded: boolean }, NetworkReading];
  joinTaps: [
    {
      settings: HostSettings;
      spec: NetworkSpec;
      taps: readonly { readonly tapName: string; readonly bridgeNumber: number }[];
    },
    null,
  ];
  ensureSecondaryBridge: [
    { settings: HostSettings; spec: NetworkSpec; bridgeNumber: number },
    null,
  ];
  findSecondaryBridges: [
    { settings: HostSettings },
    { bridgeNumber: number; tapNames: readonly string[] }[],
  ];
  removeSecondaryBridge: [{ settings: HostSettings; bridgeNumber: number }, null];
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
      /** The pid of the server that the caller watches already. */
      watchedPid: number | null;
    },
    { pidfd: number; identity: ProcessIdentity } | null,
  ];
  setForwards: [
    {
      settings: HostSettings;
      spec: NetworkSpec;
      forwards: readonly Forward[];
      applied: readonly Forward[] | null;
      /** The value that the bridge's setting gets when no forward is left. null: it stays. */
      routeLocalnetBefore: string | null;
    },
    /** undefined: only ports and targets changed, so the digest of the other rules is the same. */
    { rules: string | null | undefined },
  ];
  makeEgress: [
    {
      settings: HostSettings;
      spec: NetworkSpec;
      guests: readonly EgressGuest[];
      resolvers: readonly ResolverPort[];
    },
    EgressReading,
  ];
  changeEgress: [
    {
      settings: HostSettings;
      spec: NetworkSpec;
      /** Guests that the tables have, as they have them. */
      left: readonly EgressGuest[];
      admitted: readonly EgressGuest[];
      /** Guests that the tables have before and after. */
      staying: readonly EgressGuest[];
      resolvers: readonly ResolverPort[];
    },
    /** Of the policies that were added. */
    readonly PolicyDigest[],
  ];
  cutConnections: [
    { settings: HostSettings; spec: NetworkSpec; guests: readonly EgressGuest[] },
    number,
  ];
  countEgress: [{ settings: HostSettings }, readonly EgressCount[]];
  serveNames: [
    {
      settings: HostSettings;
      spec: NetworkSpec;
      /** Rules that have names, each once. */
      policies: readonly EgressRules[];
      /** The processes that the caller watches already. */
      watched: readonly { readonly policyId: string; readonly pid: number }[];
    },
    {
      ports: readonly ResolverPort[];
      /** The processes that the caller does not watch yet. */
      started: readonly {
        readonly policyId: string;
        readonly pidfd: number;
        readonly identity: ProcessIdentity;
      }[];
      failed: readonly { readonly policyId: string; readonly why: string }[];
    },
  ];
  emptyLearned: [
    {
      settings: HostSettings;
      policies: readonly EgressRules[];
      /** Which set of each pair. */
      turn: 0 | 1;
    },
    null,
  ];
  countConnections: [{ targets: readonly ForwardTarget[] }, number | null];
  findPortOwner: [{ protocol: PortProtocol; port: number }, string | null];
  settleTaps: [Record<string, never>, null];
  removeTaps: [{ tapNames: readonly string[]; forgottenAddresses: readonly string[] }, null];
  /** The outcome of each, in their order. */
  removeRemains: [
    { settings: HostSettings; remains: readonly Remains[] },
    readonly Outcome<null>[],
  ];
  launch: [
    /** `bridgeNumber` is that of the tap's bridge, 0 without a tap. */
    { settings: HostSettings; request: LaunchRequest; bridgeNumber: number },
    LaunchedProcess,
  ];
  endBoot: [{ settings: HostSettings; identity: ProcessIdentity; cgroupName: string }, null];
  openHypervisors: [
    { settings: HostSettings; hypervisors: readonly HypervisorToOpen[] },
    { pidfds: (number | null)[] },
  ];
  inspectMedia: [{ settings: HostSettings; path: string; kind: MediaKind }, InspectedMedia];
  isMissing: [{ settings: HostSettings; path: string }, boolean];
  sha256Of: [{ path: string }, string];
  findCached: [{ settings: HostSettings; digest: string }, MediaFacts | null];
  fetchMedium: [
    /** The port carries MediaProgress from the job. Any message to the job cancels it. */
    { settings: HostSettings; url: string; digest: string | null; progress: MessagePort },
    MediaFacts,
  ];
  findImage: [{ settings: HostSettings; image: string; digest: string | null }, ImageFacts | null];
  fetchImage: [
    /** The port is as for fetchMedium. */
    {
      settings: HostSettings;
      image: string;
      digest: string | null;
      /** Asks the registry what the name means now, although an image of this name is here. */
      refresh: boolean;
      progress: MessagePort;
    },
    ImageFacts,
  ];
  listImages: [{ settings: HostSettings }, StoredImage[]];
  removeImage: [{ settings: HostSettings; digest: string; pinned: readonly string[] }, null];
  sweepImageBuilds: [{ settings: HostSettings }, null];
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
  readVms: [{ settings: HostSettings; vms: PackedVms }, VmsReading];
  readHost: [Record<string, never>, HostReading];
  readNameServers: [Record<string, never>, readonly string[]];
  inspectDevices: [
    { settings: HostSettings; addresses: readonly string[] },
    readonly DeviceFacts[],
  ];
  readOverride: [{ settings: HostSettings; address: string }, string];
  bindDevice: [{ settings: HostSettings; address: string }, null];
  releaseDevice: [{ settings: HostSettings; address: string; former: FormerDriver }, null];
  probeGroups: [{ settings: HostSettings; groups: readonly string[] }, null];
  /** Does nothing. The caller wants to know whether threads return. */
  ping: [Record<string, never>, null];
}

export type JobName = keyof Jobs;
export type JobArgument<N extends JobName> = Jobs[N][0];
export type JobResult<N extends JobName> = Jobs[N][1];
/** The outcome of any job. */
export type AnyOutcome = Outcome<JobResult<JobName>>;

/** Runs a job on a thread. Rejects with the job's error. */
export type Run = <N extends JobName>(
  name: N,
  argument: JobArgument<N>,
  transferList?: readonly TransferListItem[],
) => Promise<JobResult<N>>;
