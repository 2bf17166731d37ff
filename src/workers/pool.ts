// workers, main-thread side: the HostPort. Every method is a job on a worker thread; here is only what
// must be known across jobs: which runs are shared, which descriptors came back, what is cached.

import { fileURLToPath } from 'node:url';
import { firstUidOf } from '../config/readers.ts';
import { type Config, LIMITS } from '../config.ts';
import type { FormerDriver } from '../engine/device-ports.ts';
import type {
  BootFile,
  DiskImage,
  KnownImage,
  MediaFacts,
  MediaProgress,
  SeedFiles,
} from '../engine/media-ports.ts';
import type {
  Forward,
  ForwardTarget,
  GuestIdentity,
  HostLedger,
  NetworkMending,
  NetworkSpec,
  PortProtocol,
} from '../engine/network-ports.ts';
import type {
  HostInventory,
  HostPort,
  KnownTrials,
  LaunchRequest,
  OomEvidence,
} from '../engine/ports.ts';
import type { HostChanges, ProcessIdentity, VmDescription } from '../engine/records.ts';
import { VolantError } from '../lib/errors.ts';
import { failPoints } from '../lib/fail-points.ts';
import type { Logger } from '../lib/log.ts';
import { Crew, type CrewFacts, type CrewOptions } from './crew.ts';
import { DEADLINES_MS } from './deadlines.ts';
import { ExitWatcher } from './exit-watcher.ts';
import { withFailPoints } from './failing-run.ts';
import { GuestNetwork } from './guest-network.ts';
import { type HeldPort, holdPort, type Serve } from './held-ports.ts';
import { hostSizeReader } from './host-size.ts';
import { oomKillsOfHost } from './jobs/oom.ts';
import { letGoOf } from './late-results.ts';
import { MediaFiles, type MediaThreads } from './media-files.ts';
import type { CpuSample, HostSettings, JobArgument, Run } from './protocol.ts';

/** The threads, as the host uses them. */
interface Threads extends MediaThreads {
  facts(): CrewFacts;
  /** Launches that were given up and may yet make what they were to make. */
  hangingLaunches(): readonly JobArgument<'launch'>[];
  /** When a job ended last, of a monotonic clock. */
  lastEndMs(): number;
  close(): Promise<void>;
}

const SLOW_IDLE_MS = 60_000;

const ENTRY = fileURLToPath(new URL('./entry.js', import.meta.url));

/** Starts the threads. */
export function createHost(config: Config, log: Logger): HostPort {
  const common: Omit<CrewOptions, 'threads' | 'jobsPerThread' | 'idleMs' | 'slowMs'> = {
    filename: ENTRY,
    deadlinesMs: DEADLINES_MS,
    onLate: (name, outcome) => letGoOf(name, outcome, log),
    log,
  };
  const { workerThreads: threads, jobSlowMs: slowMs } = LIMITS;
  const main = new Crew({ ...common, threads, jobsPerThread: 1, idleMs: null, slowMs });
  // Jobs that take long: those of one kind have a thread of their own, and share it by turns.
  const slow = { ...common, threads: 1, idleMs: SLOW_IDLE_MS, slowMs: null };
  const downloads = new Crew({ ...slow, jobsPerThread: LIMITS.mediaJobsMax });
  const checksums = new Crew({ ...slow, jobsPerThread: LIMITS.checksumJobsMax });
  return new Host(config, log, {
    run: withFailPoints(runOf(main), failPoints(config.failPoint)),
    runDownload: runOf(downloads),
    runChecksum: runOf(checksums),
    facts: () => sumOf([main, downloads, checksums]),
    hangingLaunches: () => main.hanging('launch'),
    lastEndMs: () => main.lastEndMs,
    close: async () => {
      // A download is cut here and goes on when it is asked for again.
      const slowEnds = [downloads.close(0), checksums.close(0)];
      const left = await main.close(LIMITS.jobsEndMs);
      await Promise.all(slowEnds);
      if (left > 0) log.warn({ jobs: left }, 'abandoning jobs that do not come back');
    },
  });
}

function runOf(crew: Crew): Run {
  return (name, argument, transferList) => crew.run(name, argument, transferList);
}

function sumOf(crews: readonly Crew[]): CrewFacts {
  const facts = crews.map((crew) => crew.facts);
  const sum = (key: keyof CrewFacts) => facts.reduce((total, one) => total + one[key], 0);
  return { working: sum('working'), hanging: sum('hanging'), away: sum('away') };
}

class Host implements HostPort {
  readonly #settings: HostSettings;
  readonly #log: Logger;
  readonly #run: Run;
  readonly #threads: Threads;
  readonly #media: MediaFiles;
  readonly #exits = new ExitWatcher();
  readonly #network: GuestNetwork;
  readonly #exposeAddress: string;
  #kernel: Promise<MediaFacts> | null = null;
  #cpu: CpuSample | null = null;
  #toldAboutCgroups = false;
  readonly #size = hostSizeReader();
  /** Processes of the host that the kernel has killed for want of memory, as far as they matter no more. */
  #oomKillsSeen = oomKillsOfHost();

  constructor(config: Config, log: Logger, threads: Threads) {
    const { run } = threads;
    const { hostTag, homeId, runtimeDirectory, mediaDirectories } = config;
    const { kernelVmlinux, kernelBzImage, bootInitramfs } = config;
    const { hypervisor, accelerator, sysfsRoot } = config;
    const { antiSpoofing, guestIsolation, isolation, mediaHosts, outbound, nameServers } = config;
    const { cacheDirectory, cacheBytesMax, diskDirectory, failPoint } = config;
    this.#settings = {
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
      cacheDirectory,
      cacheBytesMax,
      diskDirectory,
      antiSpoofing,
      guestIsolation,
      isolation,
      firstUid: firstUidOf(config, LIMITS.hypervisorUidsMax),
      nameServers,
    };
    this.#exposeAddress = config.exposeAddress;
    this.#log = log;
    this.#run = run;
    this.#threads = threads;
    this.#media = new MediaFiles(this.#settings, threads, log);
    this.#network = new GuestNetwork(this.#settings, run, this.#exits, log);
  }

  ensureNetwork(spec: NetworkSpec, guests: () => readonly GuestIdentity[], ledger: HostLedger) {
    return this.#network.ensure(spec, guests, ledger);
  }

  lookAtNetwork(spec: NetworkSpec, isNeeded: boolean) {
    return this.#network.look(spec, isNeeded);
  }

  mendNetwork(spec: NetworkSpec, mending: NetworkMending, ledger: HostLedger): Promise<void> {
    return this.#network.mend(spec, mending, ledger);
  }

  watchNetwork(spec: NetworkSpec, onLost: (tapName: string | null) => void): void {
    this.#network.watch(spec, onLost);
  }

  removeNetwork(spec: NetworkSpec, changes: HostChanges): Promise<void> {
    return this.#network.remove(spec, changes);
  }

  setForwards(spec: NetworkSpec, forwards: readonly Forward[]): Promise<void> {
    return this.#network.setForwards(spec, forwards);
  }

  countConnections(targets: readonly ForwardTarget[]): Promise<number | null> {
    return this.#run('countConnections', { targets });
  }

  async holdPort(protocol: PortProtocol, port: number, serve: Serve): Promise<HeldPort> {
    try {
      return await holdPort(protocol, this.#exposeAddress, port, serve);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      const asked = `${protocol} port ${port} of ${this.#exposeAddress}`;
      if (code !== 'EADDRINUSE') {
        throw new VolantError('HOST_OPERATION_FAILED', `The ${asked} cannot be used`, {
          cause: error,
        });
      }
      const owner = await this.#run('findPortOwner', { protocol, port });
      throw new VolantError('PORT_TAKEN', `The ${asked} belongs to ${owner ?? 'another program'}`);
    }
  }

  removeTap(tapName: string): Promise<void> {
    return this.#network.removeTap(tapName);
  }

  async removeRunDirectory(vmId: number): Promise<void> {
    await this.#run('removeRunDirectory', { settings: this.#settings, vmId });
  }

  async launch(request: LaunchRequest) {
    const { workingDirectory } = request;
    const before = this.#threads.hangingLaunches();
    if (before.some((one) => one.request.workingDirectory === workingDirectory)) {
      // It would clear the run directory of the second one when it goes on.
      throw new VolantError('HOST_TIMEOUT', 'An earlier launch of this VM has not come back yet');
    }
    const launched = await this.#launch(request);
    if (launched.withoutLimits !== null && !this.#toldAboutCgroups) {
      this.#toldAboutCgroups = true;
      this.#log.warn({ reason: launched.withoutLimits }, 'hypervisors run without limits');
    }
    return this.#exits.watch(launched.identity, launched.pidfd);
  }

  #launch(request: LaunchRequest) {
    const launch = (shard: number) =>
      this.#run('launch', { settings: this.#settings, request, shard });
    return request.tap === null ? launch(0) : this.#network.withTap(request.tap, launch);
  }

  async endBoot(identity: ProcessIdentity, cgroupName: string): Promise<void> {
    await this.#run('endBoot', { settings: this.#settings, identity, cgroupName });
  }

  async adopt(vmId: number, identity: ProcessIdentity) {
    const { pidfd } = await this.#run('openHypervisor', {
      settings: this.#settings,
      vmId,
      identity,
    });
    return pidfd === null ? null : this.#exits.watch(identity, pidfd);
  }

  async removeCgroup(cgroupName: string): Promise<void> {
    await this.#run('removeCgroup', { settings: this.#settings, cgroupName });
  }

  async removeCgroupRoot(): Promise<void> {
    await this.#run('removeCgroup', { settings: this.#settings, cgroupName: null });
  }

  inspectMedia(path: string, checksum: string | null, kind?: BootFile): Promise<MediaFacts> {
    return this.#media.inspect(path, checksum, kind ?? null);
  }

  fetchMedium(
    url: string,
    checksum: string | null,
    onProgress: (progress: MediaProgress) => void,
    signal?: AbortSignal,
  ) {
    return this.#media.fetch(url, checksum, onProgress, signal);
  }

  recallImages(vmId: number) {
    return this.#media.recall(vmId);
  }

  provideDisks(vmId: number, disks: readonly DiskImage[], initramfs: KnownImage | null) {
    return this.#media.provideDisks(vmId, disks, initramfs);
  }

  writeSeed(vmId: number, files: SeedFiles) {
    return this.#media.writeSeed(vmId, files);
  }

  removeDisks(vmId: number): Promise<void> {
    return this.#media.removeDisks(vmId);
  }

  /** Many VMs are launched at once: whoever asks while a look is under way shares it. */
  findKernel(): Promise<MediaFacts> {
    this.#kernel ??= this.#run('findKernel', { settings: this.#settings }).finally(() => {
      this.#kernel = null;
    });
    return this.#kernel;
  }

  measureBoot(files: { readonly kernelPath: string; readonly initramfsPath: string | null }) {
    return this.#run('measureBoot', files);
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
    // One for whoever asks: several may have been killed at once.
    if (isNewOnHost) this.#oomKillsSeen += 1;
    return { ...ofCgroup, isNewOnHost };
  }

  documentToJson(text: string) {
    return this.#run('documentToJson', { text });
  }

  readDocument(path: string) {
    return this.#run('readDocument', { settings: this.#settings, path });
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
    // Whoever was killed long ago has nothing to do with who is killed next.
    this.#oomKillsSeen = Math.max(this.#oomKillsSeen, ofHost);
    return inventory;
  }

  probeHypervisor(known: KnownTrials) {
    return this.#run('probeHypervisor', { settings: this.#settings, known });
  }

  async usage() {
    const { after, cpuPercent, memPercent } = await this.#run('measureUsage', {
      before: this.#cpu,
    });
    this.#cpu = after;
    return { cpuPercent, memPercent };
  }

  size() {
    return this.#size();
  }

  nameServers() {
    return this.#run('readNameServers', {});
  }

  inspectDevices(addresses: readonly string[]) {
    return this.#run('inspectDevices', { settings: this.#settings, addresses });
  }

  driverOverrideOf(address: string) {
    return this.#run('readOverride', { settings: this.#settings, address });
  }

  async bindDevice(address: string): Promise<void> {
    await this.#run('bindDevice', { settings: this.#settings, address });
  }

  async releaseDevice(address: string, former: FormerDriver): Promise<void> {
    await this.#run('releaseDevice', { settings: this.#settings, address, former });
  }

  async probeGroups(groups: readonly string[]): Promise<void> {
    await this.#run('probeGroups', { settings: this.#settings, groups });
  }

  async probeThreads(recentMs: number): Promise<void> {
    if (performance.now() - this.#threads.lastEndMs() < recentMs) return;
    await this.#run('ping', {});
  }

  hangingJobs(): number {
    return this.#threads.facts().hanging;
  }

  async close(): Promise<void> {
    this.#media.close();
    await this.#threads.close();
    this.#exits.close();
  }
}
