// host: assembles the implementation of HostPorts from its subjects: network, media, devices, processes, system. What
// a subject does is in its own file.

import { LIMITS } from '../config/limits.ts';
import { firstUidOf } from '../config/readers.ts';
import type { Config } from '../config.ts';
import type { HostPorts } from '../engine/ports/host-ports.ts';
import type { Logger } from '../lib/log/log.ts';
import { ORDINARY, type Priorities } from '../lib/priority.ts';
import { HostDevices } from './devices.ts';
import { ExitWatcher } from './exit-watcher.ts';
import type { HostSettings } from './jobs/protocol.ts';
import type { StartThreads } from './jobs/threads.ts';
import { releaseLateResult } from './late-results.ts';
import { HostMedia } from './media/media-host.ts';
import { GuestNetwork } from './network/guest-network.ts';
import { HostNetwork } from './network/network-host.ts';
import { HostProcesses } from './processes.ts';
import { Removals } from './removals.ts';
import { HostStats } from './stats.ts';
import { HostSystem } from './system.ts';

/** The ports of the host together with the end of their threads, for daemon.ts. */
export interface Host extends HostPorts {
  /** Waits for running jobs, within a bound, and ends the threads. */
  close(): Promise<void>;
}

/** Creates all subjects of the host and starts the threads. The caller owns the result and calls close(). */
export function createHost(
  config: Config,
  log: Logger,
  startThreads: StartThreads,
  priorities: Priorities = ORDINARY,
): Host {
  const settings = settingsOf(config);
  const threads = startThreads({
    failPoint: config.failPoint,
    onLate: (name, outcome) => releaseLateResult(name, outcome, log),
    log,
    priorities,
  });
  const { run } = threads;
  const exits = new ExitWatcher();
  const network = new GuestNetwork(settings, run, exits, log);
  const removals = new Removals(settings, run);
  const media = new HostMedia(settings, threads, removals, log);
  return {
    network: new HostNetwork(network, config.exposeAddress, run),
    media,
    devices: new HostDevices(settings, run),
    processes: new HostProcesses({ settings, threads, network, exits, removals, log }),
    system: new HostSystem(threads),
    stats: new HostStats(settings, threads),
    close: async () => {
      media.close();
      network.close();
      await threads.close();
      exits.close();
    },
  };
}

function settingsOf(config: Config): HostSettings {
  const { hostTag, homeId, runtimeDirectory, mediaDirectories } = config;
  const { kernelVmlinux, kernelBzImage, bootInitramfs } = config;
  const { hypervisor, accelerator, sysfsRoot } = config;
  const { antiSpoofing, guestIsolation, isolation, mediaHosts, nameServers } = config;
  const { outbound, registries } = config;
  const { cacheDirectory, cacheBytesMax, diskDirectory, failPoint } = config;
  return {
    failPoint,
    hostTag,
    homeId,
    runtimeDirectory,
    mediaDirectories,
    kernelVmlinux,
    kernelBzImage,
    bootInitramfs,
    hypervisor,
    accelerator,
    sysfsRoot,
    mediaHosts,
    outbound,
    registries,
    cacheDirectory,
    cacheBytesMax,
    diskDirectory,
    antiSpoofing,
    guestIsolation,
    isolation,
    firstUid: firstUidOf(config, LIMITS.hypervisorUidsMax),
    nameServers,
  };
}
