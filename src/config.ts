// config: environment -> Config. Every default and every limit of the daemon stands here, with its
// unit in its name. Nothing else reads process.env. No effects: checking that a path exists or that
// a port is free is done where it matters.

import { createHash } from 'node:crypto';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { ANSWER_LIMITS } from './config/answer-limits.ts';
import { BOOT_LIMITS } from './config/boot-limits.ts';
import { type BudgetSettings, readBudget } from './config/budget.ts';
import { EVENT_LIMITS } from './config/event-limits.ts';
import { GUEST_LIMITS } from './config/guest-limits.ts';
import { JOB_LIMITS } from './config/job-limits.ts';
import { MCP_LIMITS } from './config/mcp-limits.ts';
import { readOutbound } from './config/outbound.ts';
import {
  checkSocketPaths,
  type HypervisorSettings,
  type Isolation,
  readAllowedNetworks,
  readDevicePatterns,
  readFailPoint,
  readGuestConnections,
  readHypervisorSettings,
  readIsolation,
  readKeysAndTls,
  readNameServers,
  readNetwork,
  type TlsFiles,
} from './config/readers.ts';
import { STORE_LIMITS } from './config/store-limits.ts';
import { VM_LIMITS } from './config/vm-limits.ts';
import type { FailPoint } from './lib/fail-points.ts';
import type { Ipv4Network } from './lib/ipv4.ts';
import type { Outbound } from './lib/proxy.ts';
import {
  type AdvertisedAddress,
  type Environment,
  expandHome,
  type ListenAddress,
  settingsReader,
} from './lib/settings.ts';

/** Every bound of the program. A test asserts the relations between them. */
export const LIMITS = {
  /** Largest request body of any route but plugin installation. */
  bodyBytesMax: 1024 * 1024,
  /** Largest plugin manifest, cloud-init documents included. */
  manifestBytesMax: 4 * 1024 * 1024,
  /** Objects and arrays in each other, in a body. */
  jsonDepthMax: 64,
  /** A body must be complete this long after its head. */
  bodyTimeoutMs: 20_000,
  /** Most connections to the API, where the limit of open files allows so many. */
  connectionsMax: 16_384,
  /** Open files that connections leave to the daemon itself; of the rest they get half, and VMs the other half. */
  descriptorsReserved: 128,
  /** With fewer open files not even the daemon's own modules can be read. */
  descriptorsMin: 192,
  /** Most requests whose body or answer is still under way. */
  requestsInFlightMax: 4096,
  /** Most VMs of one daemon. */
  vmsMax: 100_000,
  ...VM_LIMITS,
  ...BOOT_LIMITS,
  ...JOB_LIMITS,
  ...STORE_LIMITS,
  /** Taps on one bridge; the rest of the 1,023 ports that Linux allows is for cables to other bridges. */
  bridgeTapsMax: 900,
  /** A DHCP server that ended or did not start is started again after a pause that doubles. */
  leaseServerPauseMinMs: 500,
  leaseServerPauseMaxMs: 60_000,
  /** The network is looked at so often, and so long after the kernel has told of a loss. */
  networkLookIntervalMs: 60_000,
  networkLookDelayMs: 200,
  /** After so many that mended something within networkLookIntervalMs, news of the kernel are not followed. */
  networkMendsPerMinuteMax: 20,
  /** What could not be mended is tried again after a pause that doubles from this to networkLookIntervalMs. */
  networkRetryMinMs: 1_000,
  /** A look, with what is mended after it, that takes longer is told of; a shutdown waits no longer for it. */
  networkLookTimeoutMs: 30_000,
  /** A released address is not given out again for so long, unless the pool is empty. */
  addressQuarantineMs: 60_000,
  ...EVENT_LIMITS,
  ...MCP_LIMITS,
  /** A console or hypervisor log is cut back to its newest half when it is larger than this. */
  logBytesMax: 1024 * 1024,
  /** How often logs are looked at. */
  logTrimIntervalMs: 10_000,
  /** The daemon's own log file is rotated at this size; one older file is kept. */
  daemonLogBytesMax: 16 * 1024 * 1024,
  /** Characters of the daemon's log that wait for a file or a pipe which does not take them. */
  daemonLogQueueCharacters: 1024 * 1024,
  /** After an error of the log's file, and to see whether it was moved away. */
  daemonLogRetryMs: 1_000,
  daemonLogLookMs: 10_000,
  /** So long the last lines are waited for when the daemon ends. */
  daemonLogEndMs: 2_000,
  /** Lines of the hypervisor's log that an error carries. */
  errorLogLinesMax: 8,
  /** x86 Linux cuts the command line here, the closing NUL included (COMMAND_LINE_SIZE). */
  kernelCmdlineBytesMax: 2048,
  /** Versions of one VM's config that are kept. */
  configVersionsMax: 100,
  /** Config changes that may wait for one VM: many clients may try for one version. */
  configPatchesPerVmMax: 256,
  /** Health of a VM is asked for so often: at first, while it is not ready, and when it is. */
  readinessPauseMinMs: 50,
  readinessPauseWaitingMs: 1_000,
  readinessPauseMaxMs: 5_000,
  /** One question about health. */
  readinessTimeoutMs: 2_000,
  /** A replica that was ready before a restart of the daemon is so for so long while it does not answer. */
  readinessTrustMs: 30_000,
  /** Deployments, and replicas of one. */
  deploymentsMax: 1_000,
  replicasMax: 10_000,
  /** A replica's name is the deployment's, "-" and its index, and must be a name itself. */
  deploymentNameCharactersMax: 57,
  /** Creates and deletes of one deployment that run at once. */
  replicaOperationsMax: 16,
  /** Deployments are looked at so often even when nothing happens. */
  reconcileTickMs: 10_000,
  /** A replica that crashes again is replaced after a pause that doubles from the first to the second. */
  replicaBackoffMinMs: 500,
  replicaBackoffMaxMs: 60_000,
  /** A replica whose hypervisor or agent does not answer for so long is replaced. */
  replicaSilentMs: 60_000,
  /** Crashes count for so long. */
  crashWindowMs: 600_000,
  /** A roll-out whose new replicas are not ready after this is said to be stalled. */
  rolloutStallMs: 120_000,
  /** A request about a deployment is answered after this with the counts as they are. */
  deploymentAnswerMs: 25_000,
  /** A client that asks to wait and does not say how long. */
  waitTimeoutMs: 60_000,
  /** Longest wait that a client may ask for. */
  waitTimeoutMaxMs: 600_000,
  ...ANSWER_LIMITS,
  /** Longest id of a request that a client may give. */
  requestIdCharactersMax: 128,
  ...GUEST_LIMITS,
  /** Records of plugin artifacts. */
  artifactsMax: 10_000,
  /** WebSockets at once, and how many of them may look at one console. */
  webSocketsMax: 1024,
  consoleViewersMax: 32,
  /** What a new viewer of a console sees of the past. */
  consoleReplayBytesMax: 64 * 1024,
  /** Keys typed that a guest has not read yet. */
  consoleInputBytesMax: 64 * 1024,
  /** A WebSocket whose client is so far behind is closed. */
  webSocketBacklogBytesMax: 1024 * 1024,
  /** Longest line of a log as its agent sends it. */
  logLineBytesMax: 64 * 1024,
  /** An agent that falls silent may be the beginning of its VM's end: so long it is waited for. */
  logEndGraceMs: 2_000,
  /** One change of a device's driver, and how long a driver may take to show it. */
  deviceTimeoutMs: 10_000,
  deviceSettleMs: 1_000,
  /** What could not be given back is tried again after so long. */
  deviceRetryMs: 15_000,
  /** Changes of devices in line: a kernel that does not come back costs each of them its deadline. */
  deviceChangesMax: 32,
  /** PCI devices that one request may name, and those of one VM: its machine has 32 slots, disks need some, too. */
  devicesMax: 64,
  vmDevicesMax: 8,
  /** A guest with devices has all of its memory made and pinned before its hypervisor answers; slower is stuck. */
  pinnedMbPerSecondMin: 1_024,
  /** Files of keys and certificates are looked at so often, to see whether they have changed. */
  filesWatchMs: 1_000,
  /** When keys were used last is written down so often at most. */
  keyUsesSaveMs: 60_000,
  /** Certificates in use at once: what connected under an older one goes on until it is pushed out. */
  tlsCertificatesMax: 8,
  /** Addresses whose refused keys are counted, and how often what was counted is logged. */
  refusalAddressesMax: 1_024,
  refusalLogIntervalMs: 60_000,
  /** From SIGTERM until requests that still run are abandoned. */
  drainTimeoutMs: 20_000,
  /** From SIGTERM until the daemon ends, whatever does not come back. */
  endTimeoutMs: 52_000,
  /** Largest vCPU count and memory that a VM may ask for. */
  cpuCoresMax: 64,
  memoryMbMin: 32,
  /** What a hypervisor may use beside the memory and the vCPUs of its guest. */
  hypervisorMemoryMb: 512,
  hypervisorTasksMax: 128,
  /** Files that a hypervisor may have open. */
  hypervisorFilesMax: 4096,
  /** What a hypervisor with PCI devices may pin beside the memory of its guest. */
  hypervisorPinnedMb: 1024,
  /** Users for the hypervisors of one daemon: more than it has VMs, and the first is its DHCP server's. */
  hypervisorUidsMax: 131_072,
  memoryMbMax: 1024 * 1024,
  /** Ports of the host that one VM may ask for. */
  exposedPortsMax: 64,
  /** A port that another program took while no daemon ran is asked for so often and so many times. */
  lostPortRetryMs: 10_000,
  lostPortTriesMax: 360,
  /**
   * A replica that leaves a balanced port is stopped when no connection to it is left, or after so long: less
   * than deploymentAnswerMs, so that a delete is answered when it is over.
   */
  balancedDrainMs: 20_000,
  /** How often that is looked at, and how long it lasts where connections cannot be counted. */
  balancedDrainLookMs: 200,
  balancedDrainBlindMs: 1_000,
  /** Disks of a manifest: a machine without PCI has 24 places for devices. */
  disksMax: 16,
  /** An image from the network: its size, a silent server, and all the time that it may take. */
  mediaBytesMax: 64 * 1024 ** 3,
  mediaIdleTimeoutMs: 30_000,
  mediaTimeoutMs: 6 * 3_600_000,
  /** Tries in a row that bring nothing, and the pause before the second one. */
  mediaAttemptsMax: 5,
  mediaRetryPauseMs: 500,
  /** Downloads that run at once, and checksums of local files. */
  mediaJobsMax: 16,
  checksumJobsMax: 2,
  /** Checksums of local files that are remembered. */
  checksumsKnownMax: 1024,
  /** What has arrived of a download that nobody went on with is removed after this. */
  mediaPartialKeepMs: 86_400_000,
  /** Addresses of which is known which content they had. */
  mediaNotesMax: 4096,
  /** The cache is looked at so often, and so long after a disk was removed. */
  mediaTrimIntervalMs: 600_000,
  mediaTrimDelayMs: 10_000,
  /** An image that was used a moment ago stays in the cache, whatever the budget. */
  mediaKeepMs: 600_000,
  /** A download leaves so much of the disk free. */
  diskReserveBytes: 512 * 1024 ** 2,
  /** A guest that was paused because the disk is full is let go on so often, to see whether there is room. */
  diskFullRetryMs: 5_000,
  /** Longest unix socket path that Linux takes (sun_path less the NUL). */
  unixPathBytesMax: 107,
  /** A main-thread stall longer than this is logged. */
  loopStallMs: 100,
} as const;

export type { AcceleratorChoice, HypervisorChoice, Isolation } from './config/readers.ts';

/** The daemon's settings, checked and complete. All paths are absolute. */
export interface Config extends HypervisorSettings {
  readonly home: string;
  readonly statePath: string;
  readonly runtimeDirectory: string;
  readonly logDirectory: string;
  /** Where the daemon's own log goes; null means standard output. */
  readonly logFile: string | null;
  /** Only tests have one. */
  readonly failPoint: FailPoint | null;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  /** Manifests and configs may name files below these directories only. */
  readonly mediaDirectories: readonly string[];
  readonly listen: ListenAddress;
  /** The endpoint that guests are told, host:port. */
  readonly advertise: AdvertisedAddress;
  readonly bridge: string;
  readonly subnet: Ipv4Network;
  readonly hostIp: string;
  /** Who answers guests that ask for a lease: a server that is there already, or dnsmasq run by us. */
  readonly dhcpServer: 'outside' | 'dnsmasq';
  /** Name servers for guests; empty means: those of the host. */
  readonly nameServers: readonly string[];
  /** Hosts that images may be downloaded from, at any address; empty or "*": also from all public addresses. */
  readonly mediaHosts: readonly string[];
  /** How images and documents are fetched from servers of the outside. */
  readonly outbound: Outbound;
  readonly cacheDirectory: string;
  readonly cacheBytesMax: number;
  /** What guests write to their disks. */
  readonly diskDirectory: string;
  /** Ports of the host that lead to guests are open on this address; 0.0.0.0 is every one. */
  readonly exposeAddress: string;
  /** Guests may send from their own MAC and IP address only. */
  readonly antiSpoofing: boolean;
  /** Connections to host ports through the agent of one VM at once. */
  readonly guestConnectionsMax: number;
  /** Guests do not reach each other. */
  readonly guestIsolation: boolean;
  readonly isolation: Isolation;
  /** The first of the hypervisors' users; null leaves it to hostTag. */
  readonly uidBase: number | null;
  readonly kernelBzImage: string;
  readonly kernelVmlinux: string;
  /** Leads to the root disk of a VM that has no initramfs of its own. */
  readonly bootInitramfs: string;
  /** May do everything. */
  readonly apiKey: string | null;
  /** Names, in lower case, under which clients may ask for the API, besides its addresses. */
  readonly apiHosts: readonly string[];
  /** Named keys with scopes; it need not be there unless it was named. */
  readonly keysFile: string;
  readonly keysFileNamed: boolean;
  /** Everybody who reaches the API may use it, wherever it listens. */
  readonly openToAll: boolean;
  /** PEM files; null is plain HTTP. */
  readonly tls: TlsFiles | null;
  readonly allowedNetworks: readonly Ipv4Network[];
  readonly corsOrigins: readonly string[];
  /** Hosts that OpenAPI documents named in manifests may be fetched from; "*" is any at a public address. */
  readonly openapiHosts: readonly string[];
  /** How much of the host VMs may have together. */
  readonly budget: BudgetSettings;
  /** PCI devices that may be taken from the host, by address or vendor:device; empty is any. */
  readonly vfioAllow: readonly string[];
  readonly sysfsRoot: string;
  /**
   * Four hex digits that tell this home's kernel objects from those of another daemon. Here it is derived from the
   * home's path; daemon.ts replaces it by the one that the store keeps.
   */
  readonly hostTag: string;
  /** Of the home's state, at random; empty until the store is open. */
  readonly homeId: string;
}

/** The settings are wrong; `problems` names each variable and what to do. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('; '));
    this.problems = problems;
  }
}

/** Reads the settings. Throws ConfigError with every problem at once. */
export function loadConfig(environment: Environment): Config {
  const problems: string[] = [];
  const read = settingsReader(environment, problems);
  const home = read.path('VOLANT_HOME', join(homedir(), '.volant'));
  const listen = read.listen('VOLANT_API_LISTEN', '127.0.0.1:7777');
  const network = readNetwork(read, problems);
  const runtimeDirectory = read.path('VOLANT_RUNTIME_DIR', join(home, 'run'));
  const config: Config = {
    home,
    statePath: read.path('VOLANT_DB_PATH', join(home, 'state')),
    runtimeDirectory,
    logDirectory: read.path('VOLANT_LOG_DIR', join(home, 'logs')),
    logFile: environment['VOLANT_LOG_FILE'] ? resolve(environment['VOLANT_LOG_FILE']) : null,
    failPoint: readFailPoint(read, problems),
    logLevel: read.choice('VOLANT_LOG_LEVEL', ['debug', 'info', 'warn', 'error'], 'info'),
    mediaDirectories: read
      .list('VOLANT_MEDIA_DIRS', ':')
      .concat(join(home, 'images'))
      .map((directory) => resolve(expandHome(directory))),
    listen,
    advertise: read.advertise('VOLANT_API_ADVERTISE', listen, network.hostIp),
    ...network,
    nameServers: readNameServers(read, problems),
    mediaHosts: read.list('VOLANT_MEDIA_HOSTS', ',').map((host) => host.toLowerCase()),
    outbound: readOutbound(read, problems),
    cacheDirectory: read.path('VOLANT_MEDIA_CACHE_DIR', join(home, 'cache')),
    cacheBytesMax: read.number('VOLANT_MEDIA_CACHE_MB', 20 * 1024) * 1024 ** 2,
    diskDirectory: read.path('VOLANT_DISK_DIR', join(home, 'disks')),
    exposeAddress: read.address('VOLANT_EXPOSE_ADDRESS', '0.0.0.0'),
    guestConnectionsMax: readGuestConnections(read, LIMITS, problems),
    dhcpServer: read.choice('VOLANT_DHCP_SERVER', ['outside', 'dnsmasq'], 'outside'),
    antiSpoofing: read.choice('VOLANT_ANTI_SPOOFING', ['on', 'off'], 'on') === 'on',
    guestIsolation: read.choice('VOLANT_GUEST_ISOLATION', ['on', 'off'], 'off') === 'on',
    ...readHypervisorSettings(read, problems),
    ...readIsolation(read, LIMITS.hypervisorUidsMax, problems),
    kernelBzImage: read.path('VOLANT_KERNEL_BZIMAGE', join(home, 'kernel', 'bzImage')),
    kernelVmlinux: read.path('VOLANT_KERNEL_VMLINUX', join(home, 'kernel', 'vmlinux')),
    bootInitramfs: read.path('VOLANT_BOOT_INITRAMFS', join(home, 'images', 'boot.cpio')),
    apiKey: environment['VOLANT_API_KEY'] || null,
    ...readKeysAndTls(read, home, listen, problems),
    allowedNetworks: readAllowedNetworks(read, problems),
    apiHosts: read.hostNames('VOLANT_API_HOSTS'),
    corsOrigins: read.origins('VOLANT_CORS_ORIGINS'),
    openapiHosts: read.list('VOLANT_OPENAPI_HOSTS', ',').map((host) => host.toLowerCase()),
    budget: readBudget(read),
    vfioAllow: readDevicePatterns(read, problems),
    sysfsRoot: read.path('VOLANT_SYSFS_ROOT', '/sys'),
    hostTag: createHash('sha256').update(home).digest('hex').slice(0, 4),
    homeId: '',
  };
  checkSocketPaths(runtimeDirectory, LIMITS.unixPathBytesMax, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}
