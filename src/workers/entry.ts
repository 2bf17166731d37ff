// workers, worker side: the file that every thread of the pool runs. One named export for each job; a
// job that throws becomes an Outcome here, nothing is thrown across the thread.

import { type Outcome, success } from '../lib/outcome.ts';
import { measureBoot } from './jobs/boot-sizes.ts';
import * as shards from './jobs/bridge-shards.ts';
import * as cache from './jobs/cache.ts';
import * as cgroup from './jobs/cgroup.ts';
import * as checksum from './jobs/checksum.ts';
import * as connections from './jobs/connections.ts';
import * as cpuWeight from './jobs/cpu-weight.ts';
import * as dhcp from './jobs/dhcp-server.ts';
import * as disks from './jobs/disks.ts';
import { documentToJson } from './jobs/document.ts';
import * as download from './jobs/download.ts';
import { faultOf } from './jobs/fault.ts';
import * as forwards from './jobs/forwards.ts';
import * as guestFilter from './jobs/guest-filter.ts';
import * as hostFacts from './jobs/host-facts.ts';
import { openHypervisor } from './jobs/hypervisor-processes.ts';
import * as inventory from './jobs/inventory.ts';
import { launch } from './jobs/launch.ts';
import * as media from './jobs/media.ts';
import * as network from './jobs/network.ts';
import { lookAtNetwork } from './jobs/network-look.ts';
import * as oom from './jobs/oom.ts';
import * as pci from './jobs/pci.ts';
import * as pciDriver from './jobs/pci-driver.ts';
import * as portOwner from './jobs/port-owner.ts';
import * as probe from './jobs/probe.ts';
import * as run from './jobs/run-directory.ts';
import * as seed from './jobs/seed.ts';
import * as vfioGroup from './jobs/vfio-group.ts';
import type { JobArgument, JobName, JobResult } from './protocol.ts';

const jobs: {
  readonly [N in JobName]: (argument: JobArgument<N>) => JobResult<N> | Promise<JobResult<N>>;
} = {
  planNetwork: network.planNetwork,
  ensureNetwork: network.ensureNetwork,
  lookAtNetwork,
  joinTaps: network.joinTaps,
  ensureShard: shards.ensureShard,
  findShards: shards.findShards,
  removeShard: shards.removeShard,
  removeNetwork: network.removeNetwork,
  makeGuestFilter: guestFilter.makeGuestFilter,
  changeGuestFilter: guestFilter.changeGuestFilter,
  serveLeases: dhcp.serveLeases,
  setForwards: forwards.setForwards,
  countConnections: connections.countConnections,
  findPortOwner: portOwner.findPortOwner,
  removeTaps: network.removeTaps,
  removeRunDirectory: run.removeRunDirectory,
  launch,
  endBoot: cpuWeight.endBoot,
  openHypervisor,
  removeCgroup: cgroup.removeCgroup,
  inspectMedia: media.inspectMedia,
  sha256Of: checksum.sha256Of,
  findCached: download.findCached,
  fetchMedium: download.fetchMedium,
  trimCache: cache.trimCache,
  recallImages: disks.recallImages,
  provideDisks: disks.provideDisks,
  writeSeed: seed.writeSeed,
  removeDisks: disks.removeDisks,
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
  readNameServers: hostFacts.readNameServers,
  inspectDevices: pci.inspectDevices,
  readOverride: pciDriver.readOverride,
  bindDevice: pciDriver.bindDevice,
  releaseDevice: pciDriver.releaseDevice,
  probeGroups: vfioGroup.probeGroups,
  ping: () => null,
};

/** Runs one job. Never throws. */
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
