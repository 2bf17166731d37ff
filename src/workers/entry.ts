// workers: the entry file of every thread: the table that maps the name of a job to its function, and runJob. An
// error that a job throws becomes an Outcome here, because errors lose their class between threads. The jobs
// themselves are in src/host/jobs.

import { isMainThread, workerData } from 'node:worker_threads';
import * as pci from '../host/jobs/devices/pci.ts';
import * as pciDriver from '../host/jobs/devices/pci-driver.ts';
import * as vfioGroup from '../host/jobs/devices/vfio-group.ts';
import { faultOf } from '../host/jobs/fault.ts';
import * as imageCache from '../host/jobs/images/image-cache.ts';
import * as images from '../host/jobs/images/provide-image.ts';
import * as media from '../host/jobs/media/boot-media.ts';
import { measureBoot } from '../host/jobs/media/boot-sizes.ts';
import * as cache from '../host/jobs/media/cache.ts';
import * as checksum from '../host/jobs/media/checksum.ts';
import * as disks from '../host/jobs/media/disks.ts';
import { documentToJson } from '../host/jobs/media/document.ts';
import * as download from '../host/jobs/media/download.ts';
import * as seed from '../host/jobs/media/seed.ts';
import * as dhcp from '../host/jobs/network/dhcp-server.ts';
import * as egress from '../host/jobs/network/egress/egress.ts';
import { serveNames } from '../host/jobs/network/egress/resolvers.ts';
import * as guestFilter from '../host/jobs/network/filter-rules.ts';
import * as forwards from '../host/jobs/network/forwards.ts';
import { readNameServers } from '../host/jobs/network/name-servers.ts';
import * as network from '../host/jobs/network/network.ts';
import * as portOwner from '../host/jobs/network/port-owner.ts';
import { readNetwork } from '../host/jobs/network/read-network.ts';
import * as secondaryBridges from '../host/jobs/network/secondary-bridges.ts';
import * as connections from '../host/jobs/network/tracked-connections.ts';
import * as cpuWeight from '../host/jobs/process/cpu-weight.ts';
import * as hostFacts from '../host/jobs/process/host-readings.ts';
import { openHypervisors } from '../host/jobs/process/hypervisor-processes.ts';
import * as inventory from '../host/jobs/process/inventory.ts';
import { launch } from '../host/jobs/process/launch.ts';
import * as oom from '../host/jobs/process/oom.ts';
import * as probe from '../host/jobs/process/probe.ts';
import * as run from '../host/jobs/process/run-directory.ts';
import { readVms } from '../host/jobs/process/vm-figures.ts';
import type { JobArgument, JobName, JobResult } from '../host/jobs/protocol.ts';
import { removeRemains } from '../host/jobs/remains.ts';
import { type Outcome, success } from '../lib/outcome.ts';
import { type Priorities, useOrdinaryPriority } from '../lib/priority.ts';

const jobs: {
  readonly [N in JobName]: (argument: JobArgument<N>) => JobResult<N> | Promise<JobResult<N>>;
} = {
  planNetwork: network.planNetwork,
  ensureNetwork: network.ensureNetwork,
  readNetwork,
  joinTaps: network.joinTaps,
  ensureSecondaryBridge: secondaryBridges.ensureSecondaryBridge,
  findSecondaryBridges: secondaryBridges.findSecondaryBridges,
  removeSecondaryBridge: secondaryBridges.removeSecondaryBridge,
  removeNetwork: network.removeNetwork,
  makeGuestFilter: guestFilter.makeGuestFilter,
  changeGuestFilter: guestFilter.changeGuestFilter,
  makeEgress: egress.makeEgress,
  changeEgress: egress.changeEgress,
  cutConnections: egress.cutConnections,
  countEgress: egress.countEgress,
  emptyLearned: egress.emptyLearned,
  serveNames,
  serveLeases: dhcp.serveLeases,
  setForwards: forwards.setForwards,
  countConnections: connections.countConnections,
  findPortOwner: portOwner.findPortOwner,
  removeTaps: network.removeTaps,
  settleTaps: network.settleTaps,
  removeRemains,
  launch,
  endBoot: cpuWeight.endBoot,
  openHypervisors,
  inspectMedia: media.inspectMedia,
  isMissing: media.isMissing,
  sha256Of: checksum.sha256Of,
  findCached: download.findCached,
  fetchMedium: download.fetchMedium,
  findImage: images.findImage,
  fetchImage: images.fetchImage,
  listImages: imageCache.listImages,
  removeImage: imageCache.removeImage,
  sweepImageBuilds: imageCache.sweepImageBuilds,
  trimCache: cache.trimCache,
  recallImages: disks.recallImages,
  provideDisks: disks.provideDisks,
  writeSeed: seed.writeSeed,
  findKernel: media.findKernel,
  measureBoot,
  readLogTail: run.readLogTail,
  readConsole: run.readConsole,
  readDocument: media.readDocument,
  documentToJson,
  findOomKill: oom.findOomKill,
  trimLogs: run.trimLogs,
  describeVms: run.describeVms,
  takeInventory: inventory.takeInventory,
  probeHypervisor: probe.probeHypervisor,
  measureUsage: hostFacts.measureUsage,
  readVms,
  readHost: hostFacts.readHost,
  readNameServers: readNameServers,
  inspectDevices: pci.inspectDevices,
  readOverride: pciDriver.readOverride,
  bindDevice: pciDriver.bindDevice,
  releaseDevice: pciDriver.releaseDevice,
  probeGroups: vfioGroup.probeGroups,
  ping: () => null,
};

if (!isMainThread) useOrdinaryPriority(workerData as Priorities);

/** Runs one job and returns its result or its fault. Never throws. */
export async function runJob<N extends JobName>(task: {
  readonly name: N;
  readonly argument: JobArgument<N>;
}): Promise<Outcome<JobResult<N>>> {
  try {
    return success(await jobs[task.name](task.argument));
  } catch (error) {
    return faultOf(error, task.name);
  }
}
