// workers, main-thread side: how long each job may take once a thread has begun it. After that its caller is told
// that the host does not come back. Bounds that a job keeps itself are shorter; these are for what nothing inside
// the thread can end: a file system that hangs, a pipe that nobody writes to, a driver that waits.

import { LIMITS } from '../config.ts';
import type { JobName } from './protocol.ts';

/** Reads that touch a few files. */
const LOOK_MS = LIMITS.jobLookMs;
/** Changes in the kernel: some programs that are run one after the other, each with a bound of its own. */
const CHANGE_MS = LIMITS.jobChangeMs;
/** What grows with images, disks or the number of VMs. */
const BULK_MS = LIMITS.jobBulkMs;

/** Of every job, in milliseconds. */
export const DEADLINES_MS: Readonly<Record<JobName, number>> = {
  planNetwork: CHANGE_MS,
  ensureNetwork: CHANGE_MS,
  lookAtNetwork: CHANGE_MS,
  joinTaps: CHANGE_MS,
  ensureShard: CHANGE_MS,
  findShards: CHANGE_MS,
  removeShard: CHANGE_MS,
  removeNetwork: CHANGE_MS,
  makeGuestFilter: CHANGE_MS,
  changeGuestFilter: CHANGE_MS,
  serveLeases: CHANGE_MS,
  setForwards: CHANGE_MS,
  countConnections: LOOK_MS,
  findPortOwner: LOOK_MS,
  removeTaps: CHANGE_MS,
  removeRunDirectory: CHANGE_MS,
  launch: CHANGE_MS,
  endBoot: LOOK_MS,
  openHypervisor: LOOK_MS,
  removeCgroup: CHANGE_MS,
  inspectMedia: LOOK_MS,
  // The whole file is read.
  sha256Of: LIMITS.mediaTimeoutMs,
  findCached: LOOK_MS,
  // It ends by itself; this is for a disk that hangs meanwhile.
  fetchMedium: LIMITS.mediaTimeoutMs + BULK_MS,
  trimCache: BULK_MS,
  recallImages: LOOK_MS,
  provideDisks: BULK_MS,
  writeSeed: CHANGE_MS,
  removeDisks: BULK_MS,
  findKernel: LOOK_MS,
  measureBoot: LOOK_MS,
  readLogTail: LOOK_MS,
  readConsole: LOOK_MS,
  readDocument: LOOK_MS,
  // It keeps a shorter bound itself.
  documentToJson: CHANGE_MS,
  findOomKill: LOOK_MS,
  trimLogs: CHANGE_MS,
  describeVms: CHANGE_MS,
  takeInventory: CHANGE_MS,
  // Guests boot for trial.
  probeHypervisor: BULK_MS,
  measureUsage: LOOK_MS,
  readNameServers: LOOK_MS,
  inspectDevices: CHANGE_MS,
  readOverride: LOOK_MS,
  bindDevice: CHANGE_MS,
  releaseDevice: CHANGE_MS,
  probeGroups: CHANGE_MS,
  ping: LOOK_MS,
};
