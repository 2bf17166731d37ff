// workers: the deadline of each job, counted from its start on a thread. After it the caller gets HOST_TIMEOUT. The
// bounds that jobs keep themselves are shorter. Deadlines cover what nothing inside the thread can end: a file system
// that hangs, a pipe without a writer, a driver that waits.

import { LIMITS } from '../config/limits.ts';
import type { JobName } from '../host/jobs/protocol.ts';

/** Jobs that read a few files. */
const READ_MS = LIMITS.jobReadMs;
/** Jobs that change the kernel's state: a few programs run one after the other, each with a bound of its own. */
const CHANGE_MS = LIMITS.jobChangeMs;
/** Jobs whose duration grows with images, disks or the number of VMs. */
const BULK_MS = LIMITS.jobBulkMs;

/** The deadline of every job, in milliseconds. */
export const DEADLINES_MS: Readonly<Record<JobName, number>> = {
  planNetwork: CHANGE_MS,
  ensureNetwork: CHANGE_MS,
  readNetwork: CHANGE_MS,
  joinTaps: CHANGE_MS,
  ensureSecondaryBridge: CHANGE_MS,
  findSecondaryBridges: CHANGE_MS,
  removeSecondaryBridge: CHANGE_MS,
  removeNetwork: CHANGE_MS,
  makeGuestFilter: CHANGE_MS,
  changeGuestFilter: CHANGE_MS,
  makeEgress: BULK_MS,
  changeEgress: CHANGE_MS,
  cutConnections: CHANGE_MS,
  countEgress: CHANGE_MS,
  emptyLearned: CHANGE_MS,
  // It may wait for the start and the end of many programs.
  serveNames: BULK_MS,
  serveLeases: CHANGE_MS,
  setForwards: CHANGE_MS,
  countConnections: READ_MS,
  findPortOwner: READ_MS,
  removeTaps: CHANGE_MS,
  settleTaps: CHANGE_MS,
  launch: CHANGE_MS,
  endBoot: READ_MS,
  openHypervisors: READ_MS,
  inspectMedia: READ_MS,
  isMissing: READ_MS,
  // It reads the whole file.
  sha256Of: LIMITS.mediaTimeoutMs,
  findCached: READ_MS,
  // It keeps its own bound. The rest is for a disk that hangs meanwhile.
  fetchMedium: LIMITS.mediaTimeoutMs + BULK_MS,
  findImage: READ_MS,
  // It keeps its own bound, like a download.
  fetchImage: LIMITS.imageTimeoutMs + BULK_MS,
  listImages: BULK_MS,
  removeImage: BULK_MS,
  sweepImageBuilds: BULK_MS,
  trimCache: BULK_MS,
  recallImages: READ_MS,
  provideDisks: BULK_MS,
  writeSeed: CHANGE_MS,
  removeRemains: BULK_MS,
  findKernel: READ_MS,
  measureBoot: READ_MS,
  readLogTail: READ_MS,
  readConsole: READ_MS,
  readDocument: READ_MS,
  // It keeps a shorter bound of its own.
  documentToJson: CHANGE_MS,
  findOomKill: READ_MS,
  trimLogs: CHANGE_MS,
  describeVms: CHANGE_MS,
  takeInventory: CHANGE_MS,
  // It boots canary guests.
  probeHypervisor: BULK_MS,
  measureUsage: READ_MS,
  // It reads some files of every VM.
  readVms: CHANGE_MS,
  readHost: READ_MS,
  readNameServers: READ_MS,
  inspectDevices: CHANGE_MS,
  readOverride: READ_MS,
  bindDevice: CHANGE_MS,
  releaseDevice: CHANGE_MS,
  probeGroups: CHANGE_MS,
  ping: READ_MS,
};
