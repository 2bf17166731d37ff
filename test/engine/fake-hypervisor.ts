// test: stand-ins for hypervisors: processes that end when they are told to, with guests that answer.

import type { Duplex } from 'node:stream';
import type {
  AgentConnection,
  ControlConnection,
  GuestEnd,
  HypervisorPort,
  LaunchRequest,
  ProcessExit,
  WatchedProcess,
} from '../../src/engine/ports.ts';
import type { ProcessIdentity } from '../../src/engine/records.ts';
import { VolantError } from '../../src/lib/errors.ts';

/** What was launched, and what of it lives. */
interface Launches {
  readonly processes: ReadonlyMap<number, FakeProcess>;
  readonly launches: readonly LaunchRequest[];
}

/** A process that ends when it is told to. */
export class FakeProcess implements WatchedProcess {
  readonly identity: ProcessIdentity;
  readonly exited: Promise<ProcessExit>;
  readonly signals: string[] = [];
  ignores: readonly string[] = [];
  end: (exit: ProcessExit) => void = () => undefined;

  constructor(pid: number) {
    this.identity = { pid, startTimeTicks: pid * 10, bootId: 'boot-1' };
    this.exited = new Promise((resolve) => {
      this.end = resolve;
    });
  }

  async signal(name: 'SIGTERM' | 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    this.signals.push(name);
    if (this.ignores.includes(name)) return;
    if (name === 'SIGKILL') this.end({ code: null, signal: 'SIGKILL' });
    if (name === 'SIGTERM') this.end({ code: 0, signal: null });
  }
}

export class FakeHypervisor implements HypervisorPort {
  readonly #host: Launches;
  /** Rejects or waits to make a connection fail. */
  beforeConnect: (runDirectory: string, signal: AbortSignal) => Promise<void> = async () =>
    undefined;
  guestEnd: GuestEnd | undefined = 'power-off';
  powerButtonWorks = true;
  controlStatus = 'running';
  readonly diskFullListeners: (() => void)[] = [];
  resumed = 0;
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

  constructor(host: Launches) {
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
      onDiskFull: (listener) => void owner.diskFullListeners.push(listener),
      resume: async () => {
        this.resumed += 1;
      },
      status: async () => this.controlStatus,
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
