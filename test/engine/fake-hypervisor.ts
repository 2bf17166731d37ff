// test: a stand-in for the drivers of hypervisors: it connects to processes that a FakeHost has launched.

import type { Duplex } from 'node:stream';
import type { DriverName } from '../../src/config/drivers.ts';
import type {
  AgentConnection,
  ControlConnection,
  DiskCounters,
  GuestEnd,
  HypervisorPort,
  PostedResult,
  ResultStatus,
  WorkloadHealth,
} from '../../src/engine/ports/hypervisor-ports.ts';
import type { LaunchRequest, ProcessExit } from '../../src/engine/ports/process-ports.ts';
import { DRIVERS } from '../../src/hypervisor/drivers/drivers.ts';
import { VolantError } from '../../src/lib/errors.ts';
import type { FakeProcess } from './fake-process.ts';

interface Host {
  readonly processes: ReadonlyMap<number, FakeProcess>;
  readonly launches: readonly LaunchRequest[];
}

export class FakeHypervisor implements HypervisorPort {
  readonly #host: Host;
  /** Rejects or waits to make a connection fail. */
  beforeConnect: (runDirectory: string, signal: AbortSignal) => Promise<void> = async () =>
    undefined;
  guestEnd: GuestEnd | undefined = 'power-off';
  powerButtonWorks = true;
  /** The disks of each guest. */
  disks: () => Promise<readonly DiskCounters[]> = async () => [];
  /** How often hypervisors were asked for them. */
  disksAsked = 0;
  controlStatus = 'running';
  readonly diskFullListeners: (() => void)[] = [];
  resumed = 0;
  readonly manifests: string[] = [];
  /** What guests were told for their metadata services. */
  readonly metadata: string[] = [];
  /** Throws like the agent of an older image. */
  takesMetadata = true;
  /** The results that wait; the first one is settled next. */
  readonly posted: PostedResult[] = [];
  readonly settled: (readonly [number: number, status: ResultStatus])[] = [];
  /** Tells that a result waits. */
  readonly resultListeners = new Set<() => void>();
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
  /** The same for guests that are launched from now on. */
  newGuestsAreHealthy = true;
  /** What else the agent says of its workload. */
  workload: Omit<WorkloadHealth, 'healthy'> = {
    state: 'running',
    check: 'http',
    checkFailure: '',
    restarts: 0,
    lastExit: '',
    exitCode: null,
    exitSignal: null,
    lastLines: [],
    reason: '',
  };
  /** Tells that the workload of each agent has changed. */
  readonly changeListeners = new Set<() => void>();
  /** Agents say something when they are asked. */
  answering = true;
  /** Agents are connected. */
  connected = true;
  /** Agents answer requests to power off. */
  acceptsPowerOff = true;
  /** For each request to power off: how long the agent gives its workload. */
  readonly powerOffs: number[] = [];

  /** How often it was asked whether it answers. */
  asked = 0;
  #frozen: Promise<void> = Promise.resolve();
  #thaw: () => void = () => undefined;

  constructor(host: Host) {
    this.#host = host;
  }

  command() {
    return { executable: '/bin/hypervisor', argv: ['--fake'] };
  }

  complaintIn(driver: DriverName, lines: readonly string[]) {
    return DRIVERS[driver].complaintIn(lines);
  }

  hasBrokenClock(driver: DriverName, exit: ProcessExit) {
    return DRIVERS[driver].hasBrokenClock(exit);
  }

  async connect(_: string, runDirectory: string, signal: AbortSignal): Promise<ControlConnection> {
    await this.beforeConnect(runDirectory, signal);
    const owner = this;
    let close: () => void = () => undefined;
    const closed = new Promise<void>((resolve) => {
      close = resolve;
    });
    const exited = this.#processIn(runDirectory)?.exited.then(() => undefined);
    return {
      get guestEnd() {
        return owner.guestEnd;
      },
      ended: Promise.race([closed, exited ?? Promise.resolve()]),
      powerButton: async () => {
        if (owner.powerButtonWorks) owner.#processIn(runDirectory)?.end({ code: 0, signal: null });
      },
      onDiskFull: (listener) => void owner.diskFullListeners.push(listener),
      resume: async () => {
        this.resumed += 1;
      },
      status: async () => this.controlStatus,
      diskCounters: () => {
        this.disksAsked += 1;
        return this.disks();
      },
      pulse: () => {
        this.asked += 1;
        return this.#unlessFrozen(this.controlStatus);
      },
      close,
    };
  }

  agent(): AgentConnection {
    const owner = this;
    const isHealthy = this.newGuestsAreHealthy;
    return {
      get connected() {
        return owner.connected;
      },
      wasConnected: true,
      ready: async () => undefined,
      pulse: () => this.#unlessFrozen(undefined),
      sendManifest: async (manifest) => {
        this.manifests.push(manifest);
      },
      sendMetadata: async (document) => {
        if (!this.takesMetadata) throw new Error('the agent answered 404');
        this.metadata.push(document);
      },
      postedResult: async () => this.posted[0] ?? null,
      settleResult: async (number, status) => {
        this.posted.shift();
        this.settled.push([number, status]);
      },
      onResult: (listener) => void this.resultListeners.add(listener),
      health: async () => {
        if (!this.answering) throw new Error('no answer');
        return { healthy: this.healthy && isHealthy, ...this.workload };
      },
      onChange: (listener) => void this.changeListeners.add(listener),
      powerOff: async (timeoutMs) => {
        // What has passed since the request is not what is asked about.
        this.powerOffs.push(Math.ceil(timeoutMs / 50) * 50);
        if (!this.acceptsPowerOff) throw new Error('no answer');
      },
      open: () => this.openAgent(),
      openExec: () => this.openAgent(),
      openWatch: () => this.openAgent(),
      connect: async () => this.openAgent(),
      close: () => undefined,
    };
  }

  console(): Promise<Duplex> {
    return this.openConsole();
  }

  /** Nothing answers any more. */
  freeze(): void {
    this.#frozen = new Promise((resolve) => {
      this.#thaw = resolve;
    });
  }

  /** What was asked meanwhile is answered now. */
  thaw(): void {
    this.#thaw();
    this.#frozen = Promise.resolve();
  }

  async #unlessFrozen<T>(answer: T): Promise<T> {
    await this.#frozen;
    return answer;
  }

  #processIn(runDirectory: string): FakeProcess | undefined {
    for (const [pid, process] of this.#host.processes) {
      if (this.#host.launches[pid - 1000]?.workingDirectory === runDirectory) return process;
    }
    return undefined;
  }
}
