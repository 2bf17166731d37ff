// host: the port ProcessHost: hypervisor processes, their run directories and their cgroups. It holds what must be
// known across jobs: which launches hang, whether cgroups have limits, which OOM kills of the host were accounted
// for.

import type {
  HostInventory,
  KnownTrials,
  LaunchRequest,
  OomEvidence,
  ProcessHost,
} from '../engine/ports/process-ports.ts';
import type { ProcessIdentity, VmDescription } from '../engine/records.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log/log.ts';
import { Adoptions } from './adoptions.ts';
import type { ExitWatcher } from './exit-watcher.ts';
import { oomKillsOfHost } from './jobs/process/oom.ts';
import type { HostSettings, Run } from './jobs/protocol.ts';
import type { Threads } from './jobs/threads.ts';
import type { GuestNetwork } from './network/guest-network.ts';
import type { Removals } from './removals.ts';

interface ProcessParts {
  readonly settings: HostSettings;
  readonly threads: Pick<Threads, 'run' | 'hangingLaunches'>;
  /** A launch creates the tap of its guest, on the bridge that it belongs to. */
  readonly network: Pick<GuestNetwork, 'withTap'>;
  readonly exits: ExitWatcher;
  readonly removals: Removals;
  readonly log: Logger;
}

/** Implements ProcessHost by jobs. */
export class HostProcesses implements ProcessHost {
  readonly #settings: HostSettings;
  readonly #run: Run;
  readonly #parts: ProcessParts;
  readonly #adoptions: Adoptions;
  #warnedAboutCgroups = false;
  /** The host's count of OOM kills that were already attributed or are too old to matter. */
  #oomKillsSeen = oomKillsOfHost();

  constructor(parts: ProcessParts) {
    this.#settings = parts.settings;
    this.#run = parts.threads.run;
    this.#parts = parts;
    this.#adoptions = new Adoptions(parts.settings, parts.threads.run);
  }

  async removeRunDirectory(vmId: number): Promise<void> {
    await this.#parts.removals.remove({ kind: 'run-directory', vmId });
  }

  async launch(request: LaunchRequest) {
    const { workingDirectory } = request;
    const before = this.#parts.threads.hangingLaunches();
    if (before.some((one) => one.request.workingDirectory === workingDirectory)) {
      // When the first launch continues, it would clear the run directory of the second one.
      throw new VolantError('HOST_TIMEOUT', 'An earlier launch of this VM still hangs');
    }
    const launched = await this.#launch(request);
    if (launched.withoutLimits !== null && !this.#warnedAboutCgroups) {
      this.#warnedAboutCgroups = true;
      this.#parts.log.warn({ reason: launched.withoutLimits }, 'hypervisors run without limits');
    }
    return this.#parts.exits.watch(launched.identity, launched.pidfd);
  }

  #launch(request: LaunchRequest) {
    const launch = (bridgeNumber: number) =>
      this.#run('launch', { settings: this.#settings, request, bridgeNumber });
    return request.tap === null ? launch(0) : this.#parts.network.withTap(request.tap, launch);
  }

  async endBoot(identity: ProcessIdentity, cgroupName: string): Promise<void> {
    await this.#run('endBoot', { settings: this.#settings, identity, cgroupName });
  }

  async adopt(vmId: number, identity: ProcessIdentity) {
    const pidfd = await this.#adoptions.open(vmId, identity);
    return pidfd === null ? null : this.#parts.exits.watch(identity, pidfd);
  }

  async removeCgroup(cgroupName: string): Promise<void> {
    await this.#parts.removals.remove({ kind: 'cgroup', name: cgroupName });
  }

  async removeCgroupRoot(): Promise<void> {
    await this.#parts.removals.remove({ kind: 'cgroup', name: null });
  }

  readLogTail(path: string) {
    return this.#run('readLogTail', { path });
  }

  readConsole(vmId: number) {
    return this.#run('readConsole', { settings: this.#settings, vmId });
  }

  async findOomKill(cgroupName: string): Promise<OomEvidence> {
    const { ofHost, ...ofCgroup } = await this.#run('findOomKill', {
      settings: this.#settings,
      cgroupName,
    });
    const isNewOnHost = ofHost > this.#oomKillsSeen;
    // Each caller is attributed one kill: several processes may have been killed at once.
    if (isNewOnHost) this.#oomKillsSeen += 1;
    return { ...ofCgroup, isNewOnHost };
  }

  async trimLogs(vmIds: readonly number[]): Promise<void> {
    if (vmIds.length > 0) await this.#run('trimLogs', { settings: this.#settings, vmIds });
  }

  async describeVms(descriptions: readonly VmDescription[]): Promise<void> {
    await this.#run('describeVms', { settings: this.#settings, descriptions });
  }

  async inventory(): Promise<HostInventory> {
    const settings = this.#settings;
    const [inventory, { ofHost }] = await Promise.all([
      this.#run('takeInventory', { settings }),
      this.#run('findOomKill', { settings, cgroupName: '' }),
    ]);
    // OOM kills before the start say nothing about later exits.
    this.#oomKillsSeen = Math.max(this.#oomKillsSeen, ofHost);
    return inventory;
  }

  probeHypervisor(known: KnownTrials) {
    return this.#run('probeHypervisor', { settings: this.#settings, known });
  }
}
