// test: stand-ins for the ports of the engine. They keep what they were told, so that a test can ask
// what is left in the world, and fail where a test wants them to.

import type { Duplex } from 'node:stream';
import { loadConfig } from '../../src/config.ts';
import { createEngine, type EngineControl } from '../../src/engine/engine.ts';
import type { Forward } from '../../src/engine/network-ports.ts';
import type {
  AgentConnection,
  ControlConnection,
  DeviceFacts,
  DiskImage,
  FormerDriver,
  GuestEnd,
  HostInventory,
  HostLedger,
  HostPort,
  HypervisorPort,
  LaunchRequest,
  WatchedProcess,
} from '../../src/engine/ports.ts';
import type { ProcessIdentity } from '../../src/engine/records.ts';
import { VolantError } from '../../src/lib/errors.ts';
import type { Logger } from '../../src/lib/log.ts';
import { FakeProcess } from './fake-process.ts';
import { FakeStore } from './fake-store.ts';

export const silentLog: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLog,
};

const NO_DEVICE: DeviceFacts = {
  address: '',
  present: false,
  vendor: '1234',
  device: '11e8',
  driver: '',
  iommuGroup: '7',
  numaNode: '-1',
  groupMembers: [],
  isBridge: false,
  usedBy: null,
};

/** A host that remembers every object that was made on it. Survives an engine, like a kernel. */
export class FakeHost implements HostPort {
  readonly taps = new Set<string>();
  readonly runDirectories = new Set<number>();
  readonly diskDirectories = new Set<number>();
  readonly seeds = new Map<number, ReadonlyMap<string, string>>();
  readonly cgroups = new Set<string>();
  readonly processes = new Map<number, FakeProcess>();
  readonly devices = new Map<string, DeviceFacts>();
  readonly launches: LaunchRequest[] = [];
  readonly orderlyExitIds: number[] = [];
  /** Name of a method -> the error that it shall reject with. */
  readonly failures = new Map<string, VolantError>();
  bootId = 'boot-1';
  network = false;
  forwards: readonly Forward[] = [];
  readonly heldPorts = new Set<string>();
  logTail: readonly string[] = [];
  /** What the guest printed before anybody looked. */
  consoleLog = '';
  readonly documents = new Map<string, string>();
  #nextPid = 1000;

  async ensureNetwork(_: unknown, __: unknown, ledger: HostLedger): Promise<void> {
    this.#fail('ensureNetwork');
    await ledger.remember({ bridgeCreated: true });
    this.network = true;
  }

  async setForwards(_: unknown, forwards: readonly Forward[]): Promise<void> {
    this.#fail('setForwards');
    this.forwards = forwards;
  }

  async holdPort(protocol: string, port: number) {
    const name = `${protocol} ${port}`;
    this.#fail(`hold ${name}`);
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

  async adopt(identity: ProcessIdentity): Promise<WatchedProcess | null> {
    return this.processes.get(identity.pid) ?? null;
  }

  async removeCgroup(cgroupName: string): Promise<void> {
    this.cgroups.delete(cgroupName);
  }

  async removeCgroupRoot(): Promise<void> {}

  async inspectMedia(path: string) {
    this.#fail('inspectMedia');
    return { realPath: path, sizeBytes: 1 };
  }

  async fetchMedium(url: string): Promise<{ realPath: string; sizeBytes: number }> {
    this.#fail(`fetch ${url}`);
    return { realPath: `/cache/${encodeURIComponent(url)}`, sizeBytes: 1 };
  }

  async provideDisks(vmId: number, images: readonly DiskImage[]) {
    this.#fail('provideDisks');
    this.diskDirectories.add(vmId);
    return images.map(({ name, path, format, readonly }) =>
      readonly ? { path, format } : { path: `/disks/${vmId}/${name}`, format: 'qcow2' as const },
    );
  }

  async writeSeed(vmId: number, files: ReadonlyMap<string, string>): Promise<string> {
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

  async readLogTail(): Promise<readonly string[]> {
    return this.logTail;
  }

  async readConsole(): Promise<Uint8Array> {
    return Buffer.from(this.consoleLog);
  }

  async readDocument(path: string): Promise<string> {
    const text = this.documents.get(path);
    if (text === undefined) throw new VolantError('DOCUMENT_NOT_FOUND');
    return text;
  }

  async trimLogs(): Promise<void> {}

  async inventory(): Promise<HostInventory> {
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

  async probeHypervisor() {
    this.#fail('probeHypervisor');
    const facts = {
      driver: 'qemu',
      executable: '/usr/bin/qemu-system-x86_64',
      version: '7.2',
      accelerator: 'tcg',
      reason: 'test',
      tscKhz: 2_000_000,
      vhostVsock: false,
    } as const;
    return { facts, kvmVerdicts: {} };
  }

  async usage() {
    return { cpuPercent: 1, memPercent: 2 };
  }

  async inspectDevices(addresses: readonly string[]): Promise<readonly DeviceFacts[]> {
    return addresses.map((address) => {
      const device = this.devices.get(address);
      if (device === undefined) return { ...NO_DEVICE, address };
      const members = [...this.devices.values()].filter(
        ({ iommuGroup }) => iommuGroup === device.iommuGroup,
      );
      return { ...device, groupMembers: device.iommuGroup === '' ? [] : members };
    });
  }

  async driverOverrideOf(): Promise<string> {
    return '';
  }

  async bindDevice(address: string): Promise<void> {
    this.#fail(`bind ${address}`);
    this.#setDriver(address, 'vfio-pci');
  }

  async releaseDevice(address: string, { driver }: FormerDriver): Promise<void> {
    this.#fail(`release ${address}`);
    this.#setDriver(address, driver ?? '');
  }

  async probeGroups(groups: readonly string[]): Promise<void> {
    for (const group of groups) this.#fail(`probe group ${group}`);
  }

  /** Adds a device, alone in its IOMMU group unless the facts name one. */
  addDevice(facts: Partial<DeviceFacts> & { readonly address: string }): void {
    const iommuGroup = String(100 + this.devices.size);
    this.devices.set(facts.address, { ...NO_DEVICE, present: true, iommuGroup, ...facts });
  }

  #setDriver(address: string, driver: string): void {
    const device = this.devices.get(address);
    if (device !== undefined) this.devices.set(address, { ...device, driver });
  }

  async nameServers(): Promise<readonly string[]> {
    return ['10.0.0.53'];
  }

  async close(): Promise<void> {}

  #fail(method: string): void {
    const error = this.failures.get(method);
    if (error !== undefined) throw error;
  }
}

export class FakeHypervisor implements HypervisorPort {
  readonly #host: FakeHost;
  /** Rejects or waits to make a connection fail. */
  beforeConnect: (runDirectory: string, signal: AbortSignal) => Promise<void> = async () =>
    undefined;
  guestEnd: GuestEnd | undefined = 'power-off';
  powerButtonWorks = true;
  readonly manifests: string[] = [];
  /** The other end of it is the agent's HTTP server. */
  openAgent: () => Duplex = () => {
    throw new VolantError('AGENT_UNREACHABLE');
  };
  /** The guest's serial port. */
  openConsole: () => Promise<Duplex> = async () => {
    throw new Error('no serial port');
  };
  /** What every agent says of its workload. */
  healthy = true;

  constructor(host: FakeHost) {
    this.#host = host;
  }

  command() {
    return { executable: '/bin/hypervisor', argv: ['--fake'] };
  }

  async connect(_: string, runDirectory: string, signal: AbortSignal): Promise<ControlConnection> {
    await this.beforeConnect(runDirectory, signal);
    const owner = this;
    return {
      get guestEnd() {
        return owner.guestEnd;
      },
      ended: Promise.resolve(),
      powerButton: async () => {
        if (owner.powerButtonWorks) owner.#processIn(runDirectory)?.end({ code: 0, signal: null });
      },
      status: async () => 'running',
      close: () => undefined,
    };
  }

  agent(): AgentConnection {
    return {
      connected: true,
      ready: async () => undefined,
      sendManifest: async (manifest) => {
        this.manifests.push(manifest);
      },
      health: async () => ({ state: 'running', healthy: this.healthy }),
      powerOff: async () => undefined,
      open: () => this.openAgent(),
      connect: async () => this.openAgent(),
      close: () => undefined,
    };
  }

  console(): Promise<Duplex> {
    return this.openConsole();
  }

  #processIn(runDirectory: string): FakeProcess | undefined {
    for (const [pid, process] of this.#host.processes) {
      if (this.#host.launches[pid - 1000]?.workingDirectory === runDirectory) return process;
    }
    return undefined;
  }
}

export interface World {
  readonly store: FakeStore;
  readonly host: FakeHost;
  readonly hypervisor: FakeHypervisor;
}

export function newWorld(): World {
  const host = new FakeHost();
  return { store: new FakeStore(), host, hypervisor: new FakeHypervisor(host) };
}

/** An engine on a world, recovered. A second one on the same world is a restart of the daemon. */
export async function engineOn(world: World): Promise<EngineControl> {
  let nowMs = 1_700_000_000_000;
  const control = createEngine({
    ...world,
    config: loadConfig({ VOLANT_HOME: '/var/lib/volant-test' }),
    clock: { nowMs: () => nowMs++, monotonicMs: () => performance.now() },
    log: silentLog,
  });
  await control.prepare();
  await control.recover();
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
