// config: every limit of the daemon, with its unit in its name. Limits of one subject have a file beside this one.
// Values that an operator may set are settings; see config.ts.

import { ANSWER_LIMITS } from './limits/answer-limits.ts';
import { BOOT_LIMITS } from './limits/boot-limits.ts';
import { EGRESS_LIMITS } from './limits/egress-limits.ts';
import { EVENT_LIMITS } from './limits/event-limits.ts';
import { EXEC_LIMITS } from './limits/exec-limits.ts';
import { GUEST_LIMITS } from './limits/guest-limits.ts';
import { IMAGE_LIMITS } from './limits/image-limits.ts';
import { JOB_LIMITS } from './limits/job-limits.ts';
import { MCP_LIMITS } from './limits/mcp-limits.ts';
import { STATS_LIMITS } from './limits/stats-limits.ts';
import { STORE_LIMITS } from './limits/store-limits.ts';
import { VM_LIMITS } from './limits/vm-limits.ts';

/**
 * All limits. A test asserts the relations between them. They never change: a test that needs another value passes it
 * to the part that it tests.
 */
export const LIMITS = Object.freeze({
  /** Maximum size of a request body, except for plugin installation. */
  bodyBytesMax: 1024 * 1024,
  /** Maximum size of a plugin manifest, including its cloud-init documents. */
  manifestBytesMax: 4 * 1024 * 1024,
  /** Nesting depth of objects and arrays in a body. */
  jsonDepthMax: 64,
  /** A body must be complete within this time after its head. */
  bodyTimeoutMs: 20_000,
  /** Maximum number of connections to the API, if the limit of open files allows it. */
  connectionsMax: 16_384,
  /** New connections that the API accepts in one turn of the event loop. The others wait in the kernel. */
  acceptsPerTurnMax: 16,
  /** Connections that may wait in the kernel to be accepted, up to its own limit (somaxconn). */
  acceptBacklogMax: 4_096,
  /** Open files that are reserved for the daemon itself. Of the rest connections get half, and VMs the other half. */
  descriptorsReserved: 128,
  /** The daemon's modules cannot be loaded with fewer open files. */
  descriptorsMin: 192,
  /** Maximum number of requests whose body or answer is not complete. */
  requestsInFlightMax: 4096,
  /** Files of the dashboard that are kept in memory, and their size. */
  uiFilesMax: 256,
  uiBytesMax: 4 * 1024 ** 2,
  /** Maximum number of VMs of one daemon. */
  vmsMax: 100_000,
  ...VM_LIMITS,
  ...BOOT_LIMITS,
  ...IMAGE_LIMITS,
  ...JOB_LIMITS,
  ...STORE_LIMITS,
  ...STATS_LIMITS,
  /** Taps on one bridge. The rest of the 1,023 ports that Linux allows is for veth pairs to other bridges. */
  bridgeTapsMax: 900,
  /** How long a further bridge is kept that has no guest. */
  bridgeUnusedMs: 10_000,
  /** A DHCP server that exited or did not start is restarted after a pause that doubles. */
  leaseServerPauseMinMs: 500,
  leaseServerPauseMaxMs: 60_000,
  /** Interval of the network check, and its delay after the kernel has reported a loss. */
  networkCheckIntervalMs: 60_000,
  networkCheckDelayMs: 200,
  /**
   * After this many checks with a repair within networkCheckIntervalMs, reports of the kernel start no further check.
   */
  networkRepairsPerMinuteMax: 20,
  /** A failed repair is retried after a pause that doubles from this to networkCheckIntervalMs. */
  networkRetryMinMs: 1_000,
  /** A check with its repairs that takes longer is logged, and a shutdown waits no longer for it. */
  networkCheckTimeoutMs: 30_000,
  /** A released address is not allocated again within this time, unless the pool is empty. */
  addressQuarantineMs: 60_000,
  ...EVENT_LIMITS,
  ...MCP_LIMITS,
  /** A console or hypervisor log that is larger than this is trimmed to its newest half. */
  logBytesMax: 1024 * 1024,
  /** How often the size of logs is checked. */
  logTrimIntervalMs: 10_000,
  /** The daemon's own log file is rotated at this size; one older file is kept. */
  daemonLogBytesMax: 16 * 1024 * 1024,
  /** Characters of the daemon's log that may wait for a file or pipe that accepts no data. */
  daemonLogQueueCharacters: 1024 * 1024,
  /** Pause after an error of the log file, and interval of the check whether it was moved. */
  daemonLogRetryMs: 1_000,
  daemonLogCheckMs: 10_000,
  /** How long the end of the daemon waits for the last lines of its log. */
  daemonLogEndMs: 2_000,
  /** Maximum number of lines of a stderr tail in an error. */
  errorLogLinesMax: 8,
  /** x86 Linux truncates the command line here, including the final NUL (COMMAND_LINE_SIZE). */
  kernelCmdlineBytesMax: 2048,
  /** Versions of one VM's config that are kept. */
  configVersionsMax: 100,
  /** Config changes that may wait for one VM: many clients may compete for one version. */
  configPatchesPerVmMax: 256,
  /** Interval of a VM's health check: at first, while it is not ready, and when it is ready. */
  readinessPauseMinMs: 50,
  readinessPauseWaitingMs: 1_000,
  readinessPauseMaxMs: 5_000,
  /** Timeout of one health check. */
  readinessTimeoutMs: 2_000,
  /** A replica that was ready before a restart of the daemon counts as ready for this time without an answer. */
  readinessTrustMs: 30_000,
  /** Maximum number of deployments, and of replicas in one. */
  deploymentsMax: 1_000,
  replicasMax: 10_000,
  /** A replica's name is the deployment's, "-" and its index, and must be a name itself. */
  deploymentNameCharactersMax: 57,
  /** Creates and deletes of one deployment that run at once. */
  replicaOperationsMax: 16,
  /** Revisions of a deployment that are kept, including the current one. */
  deploymentRevisionsMax: 10,
  /** Member paths that a revision lists as changed. If there are more, it lists only top-level members. */
  revisionChangesMax: 32,
  /** Interval of the reconciler even when nothing changes. */
  reconcileTickMs: 10_000,
  /** A replica that crashes again is replaced after a backoff that doubles from the first value to the second. */
  replicaBackoffMinMs: 500,
  replicaBackoffMaxMs: 60_000,
  /** A replica whose hypervisor or agent has not answered for this time is replaced. */
  replicaSilentMs: 60_000,
  /** Period in which crashes are counted. */
  crashWindowMs: 600_000,
  /** A roll-out counts as stalled when its new replicas are not ready after this time. */
  rolloutStallMs: 120_000,
  /** A request about a deployment is answered after this time with the current counts. */
  deploymentAnswerMs: 25_000,
  /** Default timeout of a client that asks to wait. */
  waitTimeoutMs: 60_000,
  /** Maximum timeout that a client may ask for. */
  waitTimeoutMaxMs: 600_000,
  ...ANSWER_LIMITS,
  /** Maximum length of a request id that a client may set. */
  requestIdCharactersMax: 128,
  ...GUEST_LIMITS,
  ...EXEC_LIMITS,
  /** Maximum number of plugin artifacts. */
  artifactsMax: 10_000,
  /** WebSockets at once, and viewers of one console. */
  webSocketsMax: 1024,
  consoleViewersMax: 32,
  /** Console output that is replayed to a new viewer. */
  consoleReplayBytesMax: 64 * 1024,
  /** Console input that a guest has not read yet. */
  consoleInputBytesMax: 64 * 1024,
  /** A WebSocket is closed when its client has this much unread. */
  webSocketBacklogBytesMax: 1024 * 1024,
  /** Maximum length of a log line from an agent. */
  logLineBytesMax: 64 * 1024,
  /** When an agent stops answering, its VM may be about to end: a log stream waits up to this time. */
  logEndGraceMs: 2_000,
  /** Deadline of one change of a device's driver, and how long a driver may take to bind. */
  deviceTimeoutMs: 10_000,
  deviceSettleMs: 5_000,
  /** A device that could not be released is retried after this time. */
  deviceRetryMs: 15_000,
  /** Queued changes of devices: if the kernel hangs, each of them costs its deadline. */
  deviceChangesMax: 32,
  /** PCI devices in one request, and of one VM: its machine has 32 slots, and disks need some. */
  devicesMax: 64,
  vmDevicesMax: 8,
  /**
   * A guest with devices gets all of its memory allocated and locked before its hypervisor answers. A slower one
   * counts as hanging.
   */
  pinnedMbPerSecondMin: 1_024,
  /** How often the files of keys and certificates are checked for changes. */
  filesWatchMs: 1_000,
  /** How often the last use of keys is saved. */
  keyUsesSaveMs: 60_000,
  /** Certificates in use at once. A connection under an older one stays until that certificate is evicted. */
  tlsCertificatesMax: 8,
  /** Client addresses whose refused keys are counted, and the interval of the log line about them. */
  refusalAddressesMax: 1_024,
  refusalLogIntervalMs: 60_000,
  /** Time from SIGTERM until running requests are abandoned. */
  drainTimeoutMs: 20_000,
  /** Time from SIGTERM until the daemon ends in any case. */
  endTimeoutMs: 52_000,
  /** Maximum number of vCPUs, and minimum memory, of one VM. */
  cpuCoresMax: 64,
  memoryMbMin: 32,
  /** What a hypervisor may use in addition to the memory and the vCPUs of its guest. */
  hypervisorMemoryMb: 512,
  hypervisorTasksMax: 128,
  /** Open files of one hypervisor. */
  hypervisorFilesMax: 4096,
  /** Memory that a hypervisor with PCI devices may lock in addition to that of its guest. */
  hypervisorPinnedMb: 1024,
  /** User ids for the hypervisors of one daemon: more than it has VMs; the first is the DHCP server's. */
  hypervisorUidsMax: 131_072,
  memoryMbMax: 1024 * 1024,
  /** Published ports of one VM. */
  exposedPortsMax: 64,
  ...EGRESS_LIMITS,
  /** How often, and how many times, a port is retried that another program took while no daemon ran. */
  lostPortRetryMs: 10_000,
  lostPortTriesMax: 360,
  /**
   * A replica that leaves a balanced port is stopped when it has no more connections, or after this time. It is less
   * than deploymentAnswerMs, so that a delete is answered after it.
   */
  balancedDrainMs: 20_000,
  /** How often connections are counted, and how long the drain takes where they cannot be counted. */
  balancedDrainCheckMs: 200,
  balancedDrainBlindMs: 1_000,
  /** Disks of one manifest: a machine without PCI has 24 device slots. */
  disksMax: 16,
  /** A download: maximum size, timeout of a silent server, and timeout of the whole download. */
  mediaBytesMax: 64 * 1024 ** 3,
  mediaIdleTimeoutMs: 30_000,
  mediaTimeoutMs: 6 * 3_600_000,
  /** Consecutive attempts without progress, and the pause before the second one. */
  mediaAttemptsMax: 5,
  mediaRetryPauseMs: 500,
  /** Concurrent downloads, and concurrent checksums of local files. */
  mediaJobsMax: 16,
  checksumJobsMax: 2,
  /** Cached checksums of local files. */
  checksumsKnownMax: 1024,
  /** A partial download that was not resumed is removed after this time. */
  mediaPartialKeepMs: 86_400_000,
  /** URLs whose last content is remembered. */
  mediaUrlRecordsMax: 4096,
  /** How often the cache is trimmed, and the delay after the removal of a disk. */
  mediaTrimIntervalMs: 600_000,
  mediaTrimDelayMs: 10_000,
  /** An image that was used within this time stays in the cache, whatever the budget. */
  mediaKeepMs: 600_000,
  /** Disk space that a download leaves free. */
  diskReserveBytes: 512 * 1024 ** 2,
  /** How often a guest that was paused for a full disk is resumed, to see whether there is space. */
  diskFullRetryMs: 5_000,
  /** Maximum length of a unix socket path (sun_path without the NUL). */
  unixPathBytesMax: 107,
  /** A stall of the main thread that is longer than this is logged. */
  loopStallMs: 100,
} as const);

/** The type of LIMITS with any values, for parts that get their limits as arguments. */
export type Limits = { readonly [Name in keyof typeof LIMITS]: number };
