// test: stand-ins for the ports of the engine. They keep what they were asked, so that a test can ask
// what is left in the world, and fail where a test wants them to.

import { LIMITS, type Limits } from '../../src/config/limits.ts';
import { loadConfig } from '../../src/config.ts';
import { createEngine, type EngineControl } from '../../src/engine/engine.ts';
import type { HostPorts, SystemHost } from '../../src/engine/ports/host-ports.ts';
import type {
  BootSizes,
  DiskImage,
  HeldMedia,
  KnownImage,
  KnownImages,
  MediaHost,
  SeedFiles,
} from '../../src/engine/ports/media-ports.ts';
import type { Forward, HostLedger, NetworkHost } from '../../src/engine/ports/network-ports.ts';
import type {
  HostInventory,
  KnownTrials,
  LaunchRequest,
  OomEvidence,
  ProcessHost,
  WatchedProcess,
} from '../../src/engine/ports/process-ports.ts';
import type { ProcessIdentity } from '../../src/engine/records.ts';
import { documentToJson } from '../../src/host/jobs/media/document.ts';
import { VolantError } from '../../src/lib/errors.ts';
import { fakeClock, type Times } from './fake-clock.ts';
import { failIn } from './fake-devices.ts';
import { FakeEgress } from './fake-egress.ts';
import { FakeHypervisor } from './fake-hypervisor.ts';
import { FakeProbe } from './fake-probe.ts';
import { FakeProcess } from './fake-process.ts';
import { FakeStats } from './fake-stats.ts';
import { FakeStore } from './fake-store.ts';
import { silentLog } from './silent-log.ts';

export { silentLog };

/** A host that remembers every object that was made on it. Survives an engine, like a kernel. */
export class FakeHost
  extends FakeEgress
  implements NetworkHost, MediaHost, ProcessHost, SystemHost
{
  readonly taps = new Set<string>();
  readonly stats = new FakeStats();
  readonly runDirectories = new Set<number>();
  readonly diskDirectories = new Set<number>();
  readonly seeds = new Map<number, SeedFiles>();
  /** What VMs are made of. */
  readonly known = new Map<number, KnownImages>();
  /** The size of every image. */
  imageBytes = 1;
  /** Addresses that were asked for; each is there when `downloads` resolves. */
  readonly fetched: string[] = [];
  downloads: Promise<void> = Promise.resolve();
  heldMedia = 0;
  readonly cgroups = new Set<string>();
  readonly processes = new Map<number, FakeProcess>();
  readonly launches: LaunchRequest[] = [];
  readonly orderlyExitIds: number[] = [];
  bootId = 'boot-1';
  network = false;
  forwards: readonly Forward[] = [];
  /** To whatever guest. */
  connections: number | null = 0;
  readonly heldPorts = new Set<string>();
  /** Waits to let a port be held late. */
  beforeHold: (name: string) => Promise<void> = async () => undefined;
  /** Waits to let recovery be late. */
  beforeInventory: () => Promise<void> = async () => undefined;
  logTail: readonly string[] = [];
  /** What the guest printed before anybody looked. */
  consoleLog = '';
  /** What is known of the files of a launch: nothing. */
  bootSizes: BootSizes = { kernelBytes: null, initramfs: null };
  readonly documents = new Map<string, string>();
  #nextPid = 1000;

  async ensureNetwork(_: unknown, __: unknown, ledger: HostLedger): Promise<void> {
    this.#fail('ensureNetwork');
    await ledger.remember({ bridgeCreated: true });
    this.network = true;
  }

  /** Nothing of it differs here: what does is the business of tests of their own. */
  async readNetwork() {
    return null;
  }

  async repairNetwork(): Promise<void> {}

  watchNetwork(): void {}

  async setForwards(_: unknown, forwards: readonly Forward[]): Promise<void> {
    this.#fail('setForwards');
    this.forwards = forwards;
  }

  async countConnections(): Promise<number | null> {
    this.#fail('countConnections');
    return this.connections;
  }

  async holdPort(protocol: string, port: number) {
    const name = `${protocol} ${port}`;
    await this.beforeHold(name);
    this.#fail(`hold ${name}`);
    // As with a real socket: whoever takes a port twice has not given it back.
    if (this.heldPorts.has(name)) throw new VolantError('PORT_TAKEN', `${name} is held already`);
    this.heldPorts.add(name);
    return { release: () => this.heldPorts.delete(name) };
  }

  async removeNetwork(): Promise<void> {
    this.network = false;
  }

  async removeTap(tapName: string): Promise<void> {
    this.#fail('removeTap');
    this.taps.delete(tapName);
  }

  async removeRunDirectory(vmId: number): Promise<void> {
    this.runDirectories.delete(vmId);
  }

  async launch(request: LaunchRequest): Promise<WatchedProcess> {
    // In the order of the real one: what fails leaves what was made before it.
    this.#fail('run directory');
    this.runDirectories.add(Number(request.workingDirectory.split('/').at(-1)));
    this.#fail('tap');
    if (request.tap !== null) this.taps.add(request.tap.guest.tapName);
    this.cgroups.add(request.cgroup.name);
    this.#fail('launch');
    this.launches.push(request);
    const process = new FakeProcess(this.#nextPid++);
    this.processes.set(process.identity.pid, process);
    void process.exited.then(() => this.processes.delete(process.identity.pid));
    return process;
  }

  /** Processes whose guests have booted. */
  readonly booted = new Set<number>();

  async endBoot({ pid }: ProcessIdentity): Promise<void> {
    this.booted.add(pid);
  }

  async adopt(vmId: number, identity: ProcessIdentity): Promise<WatchedProcess | null> {
    this.#fail(`adopt ${vmId}`);
    return this.processes.get(identity.pid) ?? null;
  }

  async removeCgroup(cgroupName: string): Promise<void> {
    this.cgroups.delete(cgroupName);
  }

  async removeCgroupRoot(): Promise<void> {}

  async probeThreads(): Promise<void> {
    this.#fail('probeThreads');
  }

  hangingJobs(): number {
    return 0;
  }

  async inspectMedia(path: string) {
    this.#fail('inspectMedia');
    this.#fail(`inspect ${path}`);
    if (this.missing.has(path)) throw new VolantError('MEDIA_INVALID', `${path} does not exist`);
    return { realPath: path, sizeBytes: this.imageBytes };
  }

  /** Paths of files that are not there. */
  readonly missing = new Set<string>();

  async isMissing(path: string): Promise<boolean> {
    return this.missing.has(path);
  }

  async fetchMedium(
    url: string,
    _checksum: string | null,
    _onProgress: unknown,
    signal?: AbortSignal,
  ): Promise<HeldMedia> {
    this.#fail(`fetch ${url}`);
    this.fetched.push(url);
    signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason));
      this.downloads.then(resolve, reject);
    });
    this.heldMedia += 1;
    const release = () => {
      this.heldMedia -= 1;
    };
    return { realPath: `/cache/${encodeURIComponent(url)}`, sizeBytes: this.imageBytes, release };
  }

  async recallImages(vmId: number): Promise<KnownImages> {
    return this.known.get(vmId) ?? { initramfs: null, disks: new Map() };
  }

  async provideDisks(vmId: number, images: readonly DiskImage[], initramfs: KnownImage | null) {
    this.#fail('provideDisks');
    this.diskDirectories.add(vmId);
    const recalled = (image: KnownImage) => ({ ...image, sizeBytes: 1 });
    this.known.set(vmId, {
      initramfs: initramfs && recalled(initramfs),
      disks: new Map(images.map((one) => [one.name, recalled(one)])),
    });
    const sizeBytes = 512;
    return images.map(({ name, path, format, readonly }) =>
      readonly
        ? { path, format, basePath: null, sizeBytes }
        : { path: `/disks/${vmId}/${name}`, format: 'qcow2' as const, basePath: path, sizeBytes },
    );
  }

  async writeSeed(vmId: number, files: SeedFiles): Promise<string> {
    this.#fail('writeSeed');
    this.diskDirectories.add(vmId);
    this.seeds.set(vmId, files);
    return `/disks/${vmId}/seed.img`;
  }

  async removeDisks(vmId: number): Promise<void> {
    this.diskDirectories.delete(vmId);
  }

  async findKernel() {
    this.#fail('findKernel');
    return { realPath: '/kernel/vmlinux', sizeBytes: 1 };
  }

  async measureBoot() {
    this.#fail('measureBoot');
    return this.bootSizes;
  }

  async readLogTail(): Promise<readonly string[]> {
    return this.logTail;
  }

  async readConsole(): Promise<Uint8Array> {
    this.#fail('readConsole');
    return Buffer.from(this.consoleLog);
  }

  /** What the kernel reports of processes that it has killed for lack of memory. */
  oom: OomEvidence = { ofCgroup: 0, hitLimit: false, isNewOnHost: false };

  async findOomKill(): Promise<OomEvidence> {
    this.#fail('findOomKill');
    return this.oom;
  }

  async readDocument(path: string): Promise<Uint8Array> {
    const text = this.documents.get(path);
    if (text === undefined) throw new VolantError('DOCUMENT_NOT_FOUND');
    return Buffer.from(text, 'latin1');
  }

  documentToJson(text: string): Promise<string> {
    return documentToJson({ text }).catch(({ fault }) => {
      throw new VolantError(fault.code, fault.message);
    });
  }

  async trimLogs(): Promise<void> {}

  async describeVms(): Promise<void> {}

  async inventory(): Promise<HostInventory> {
    await this.beforeInventory();
    const running = [...this.processes.values()].map((process) => {
      const launch = this.launches[process.identity.pid - 1000];
      return {
        vmId: Number(launch?.workingDirectory.split('/').at(-1)),
        identity: process.identity,
      };
    });
    return {
      bootId: this.bootId,
      tapNames: [...this.taps],
      runDirectoryIds: [...this.runDirectories],
      diskDirectoryIds: [...this.diskDirectories],
      processes: running,
      cgroupNames: [...this.cgroups],
      orderlyExitIds: this.orderlyExitIds,
    };
  }

  readonly probe = new FakeProbe();

  async probeHypervisor(known: KnownTrials) {
    this.#fail('probeHypervisor');
    return this.probe.answer(known);
  }

  async usage() {
    return { cpuPercent: 1, memPercent: 2 };
  }

  /** As much as any test needs. */
  hostSize = { memoryMb: 2 ** 30, cpuCores: 2 ** 16 };

  size() {
    return this.hostSize;
  }

  async nameServers(): Promise<readonly string[]> {
    return ['10.0.0.53'];
  }

  #fail(method: string): void {
    failIn(this.failures, method);
  }
}

export interface World extends Times {
  readonly store: FakeStore;
  readonly host: FakeHost;
  readonly hypervisor: FakeHypervisor;
  /** In place of those of the daemon. */
  readonly limits: Partial<Limits>;
}

export function newWorld(limits: Partial<Limits> = {}): World {
  const host = new FakeHost();
  const hypervisor = new FakeHypervisor(host);
  // Processes were launched at the moment of their boot.
  const times = { clockSetByMs: 0, uptimeMs: 0, bootId: 'boot' };
  return { store: new FakeStore(), host, hypervisor, limits, ...times };
}

/** One stand-in for every subject of the host. */
function portsOf(host: FakeHost): HostPorts {
  return {
    network: host,
    media: host,
    devices: host,
    processes: host,
    system: host,
    stats: host.stats,
  };
}

/** An engine on a world, recovered. A second one on the same world is a restart of the daemon. */
export async function engineOn(world: World, settings = {}): Promise<EngineControl> {
  const control = await preparedOn(world, settings);
  await control.recover();
  return control;
}

/** The same before its recovery. */
export async function preparedOn(world: World, settings = {}): Promise<EngineControl> {
  const control = createEngine({
    ...world,
    host: portsOf(world.host),
    limits: { ...LIMITS, ...world.limits },
    config: loadConfig({ VOLANT_HOME: '/var/lib/volant-test', ...settings }),
    clock: fakeClock(world),
    log: silentLog,
    stalledMs: () => 0,
    loop: { delay: () => ({ meanMs: 0, p99Ms: 0, maxMs: 0 }), stalls: () => 0 },
    areRecordsDamaged: () => false,
  });
  await control.prepare();
  return control;
}

/** What is left in the world of VMs that are gone. */
export function leftovers({ store, host }: World): object {
  return {
    vms: store.vms.size,
    configs: store.stored.size,
    leases: [...store.addresses.values()].filter((lease) => lease.vmId !== null).length,
    taps: host.taps.size,
    runDirectories: host.runDirectories.size,
    diskDirectories: host.diskDirectories.size,
    cgroups: host.cgroups.size,
    processes: host.processes.size,
  };
}

export const NOTHING_LEFT = {
  vms: 0,
  configs: 0,
  leases: 0,
  taps: 0,
  runDirectories: 0,
  diskDirectories: 0,
  cgroups: 0,
  processes: 0,
};
