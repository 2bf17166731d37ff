// engine: from a record to a running hypervisor and back. It makes and releases what a VM needs in
// the kernel and on disk; what is written down about it is vm-lifecycle's business.

import { type Config, LIMITS } from '../config.ts';
import { within } from '../lib/deadline.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import type { VmConfig } from '../schema/vm-config.ts';
import type { Boots } from './boots/boots.ts';
import { cgroupOf } from './cgroup-limits.ts';
import { Connections } from './connections.ts';
import { exposedPortsOf } from './exposures/exposed-ports.ts';
import type { Exposures } from './exposures/exposures.ts';
import type { HostFacts } from './host-facts.ts';
import { cgroupNameOf, guestOf } from './identity.ts';
import { manifestForChannel, type ResolvedLaunch, resolveLaunch } from './launch-spec.ts';
import type { BootMedia, LocatedMedia, Media } from './media/media.ts';
import { mediaPlanOf } from './media/media-plan.ts';
import type { Turn } from './operations.ts';
import {
  type AgentConnection,
  type ControlConnection,
  type HostPort,
  type HypervisorFacts,
  type HypervisorPort,
  type ProcessExit,
  RUN_FILES,
  type WatchedProcess,
} from './ports.ts';
import type { VmRecord } from './records.ts';
import { sandboxOf } from './sandbox.ts';
import { runSteps, type Step, undoSteps } from './steps.ts';
import { type ExitMeaning, meaningOfExit } from './vm-exit.ts';

/** A hypervisor that runs, and the connections to it. */
export interface RunningVm {
  readonly process: WatchedProcess;
  /** null when an adopted hypervisor did not answer on its control socket. */
  readonly control: ControlConnection | null;
  /** null where the driver has no agent. */
  readonly agent: AgentConnection | null;
}

/** What a launch needs of the host; asked for before anything is leased. */
export interface LaunchPreparation {
  readonly facts: HypervisorFacts;
  readonly kernelPath: string;
  readonly located: LocatedMedia;
  readonly nameServers: readonly string[];
}

/** Devices of the host, taken for a VM and given back. */
export interface DeviceOwners {
  /** All or none. An empty allowlist allows what the operator does. */
  takeFor(vmId: number, addresses: readonly string[], allowlist: readonly string[]): Promise<void>;
  /** What the VM has, if anything. What cannot be given back stays recorded; recovery tries again. */
  releaseFor(vmId: number): Promise<void>;
}

interface LaunchContext {
  readonly record: VmRecord;
  readonly resolved: ResolvedLaunch;
  readonly preparation: LaunchPreparation;
  /** Absent when only undoing is left. */
  readonly turn?: Turn;
  media?: BootMedia;
  process?: WatchedProcess;
  control?: ControlConnection;
}

export class Launcher {
  readonly #config: Config;
  readonly #host: HostPort;
  readonly #hypervisor: HypervisorPort;
  readonly #hostFacts: HostFacts;
  readonly #devices: DeviceOwners;
  readonly #exposures: Exposures;
  readonly #media: Media;
  readonly #boots: Boots;
  readonly #connections: Connections;
  readonly #log: Logger;
  readonly #steps: readonly Step<LaunchContext>[];

  constructor(parts: {
    config: Config;
    host: HostPort;
    hypervisor: HypervisorPort;
    hostFacts: HostFacts;
    devices: DeviceOwners;
    exposures: Exposures;
    media: Media;
    boots: Boots;
    log: Logger;
  }) {
    this.#config = parts.config;
    this.#host = parts.host;
    this.#hypervisor = parts.hypervisor;
    this.#hostFacts = parts.hostFacts;
    this.#devices = parts.devices;
    this.#exposures = parts.exposures;
    this.#media = parts.media;
    this.#boots = parts.boots;
    this.#log = parts.log;
    const runDirectory = (vmId: number) => this.runDirectory(vmId);
    this.#connections = new Connections({ ...parts, runDirectory });
    this.#steps = this.#makeSteps();
  }

  /**
   * Finds hypervisor, kernel and images; for a VM that was launched before, those that it was made of. Each
   * thing that is missing has its own error.
   */
  async prepare(config: VmConfig, vmId: number | null): Promise<LaunchPreparation> {
    const plan = mediaPlanOf(config);
    const [facts, kernel, located, nameServers] = await Promise.all([
      this.#hostFacts.hypervisor(),
      plan.kernelPath === null ? this.#host.findKernel() : null,
      this.#media.locate(plan, vmId),
      this.#hostFacts.nameServers(),
    ]);
    const kernelPath = located.kernelPath ?? kernel?.realPath;
    if (kernelPath === undefined) throw new VolantError('INTERNAL', 'There is no kernel to launch');
    return { facts, kernelPath, located, nameServers };
  }

  /** The launch of a VM with these leases. CMDLINE_TOO_LONG. */
  resolve(
    vm: Pick<VmRecord, 'id' | 'name' | 'leases' | 'replica'>,
    config: VmConfig,
    preparation: LaunchPreparation,
  ): ResolvedLaunch {
    return resolveLaunch({
      vmId: vm.id,
      name: vm.name,
      leases: vm.leases,
      replica: vm.replica,
      config,
      ...preparation,
      runDirectory: this.runDirectory(vm.id),
      hostIp: this.#config.hostIp,
      machine: this.#config.machine,
      prefixLength: this.#config.subnet.prefixLength,
      kernelCmdlineBytesMax: LIMITS.kernelCmdlineBytesMax,
    });
  }

  runDirectory(vmId: number): string {
    return `${this.#config.runtimeDirectory}/${vmId}`;
  }

  /**
   * Makes run directory, tap and process, and resolves when the control socket answered. When a step
   * fails, nothing of it is left and the step's own error is thrown.
   */
  async launch(
    record: VmRecord,
    resolved: ResolvedLaunch,
    preparation: LaunchPreparation,
    turn: Turn,
  ): Promise<RunningVm> {
    const context: LaunchContext = { record, resolved, preparation, turn };
    await runSteps(this.#steps, context, this.#log.child({ vm: record.name, id: record.id }));
    const { process, control } = context;
    if (process === undefined || control === undefined) {
      throw new VolantError('INTERNAL', 'A launch ended without process or control connection');
    }
    return { process, control, agent: this.#connections.agent(record, resolved, process) };
  }

  /** Takes back a launch that succeeded but could not be written down. */
  async undo(
    record: VmRecord,
    resolved: ResolvedLaunch,
    preparation: LaunchPreparation,
    vm: RunningVm,
  ): Promise<void> {
    vm.agent?.close();
    vm.control?.close();
    const context: LaunchContext = { record, resolved, preparation, process: vm.process };
    await undoSteps(this.#steps, context, this.#log.child({ vm: record.name, id: record.id }));
  }

  /**
   * Connects to a hypervisor that another daemon launched. null when its process is not there any more, and
   * for no other reason: a config that is of no use does not cost a guest that lives.
   */
  async adopt(record: VmRecord, launched: VmConfig | undefined): Promise<RunningVm | null> {
    if (record.process === null) return null;
    const process = await this.#host.adopt(record.process);
    if (process === null) return null;
    const manifestOverChannel = this.#manifestOf(record, launched);
    const agent = this.#connections.agent(record, { manifestOverChannel }, process);
    try {
      return {
        process,
        agent,
        control: await this.#connections.control(record, process, LIMITS.launchTimeoutMs),
      };
    } catch (error) {
      this.#log.error({ vm: record.name, err: error }, 'an adopted hypervisor does not answer');
      return { process, agent, control: null };
    }
  }

  /** Gives a VM whose end failed its host ports back. One that is lost is told, not fatal. */
  async exposeAgain(record: VmRecord, config: VmConfig): Promise<void> {
    try {
      await this.#exposures.set(record, exposedPortsOf(config, record.replica));
    } catch (error) {
      this.#log.error({ vm: record.name, err: error }, 'host ports could not be taken again');
    }
  }

  /** Keeps what is new away from a VM that is about to end. */
  drain(record: VmRecord): Promise<void> {
    return this.#exposures.drain(record.id);
  }

  /** Closes the connections to a process that is gone and removes its ports, its tap and its cgroup. */
  async release(record: VmRecord, vm: RunningVm | undefined): Promise<void> {
    vm?.control?.close();
    vm?.agent?.close();
    await this.#exposures.clear(record.id);
    await this.#releaseHost(record);
    await this.releaseDevices(record);
  }

  /** Gives back what the VM has of the host's devices. */
  releaseDevices({ id }: VmRecord): Promise<void> {
    return this.#devices.releaseFor(id);
  }

  /** Removes what outlives a stop: logs, sockets and disks. */
  async removeFiles({ id }: VmRecord): Promise<void> {
    await Promise.all([this.#host.removeRunDirectory(id), this.#media.removeDisks(id)]);
  }

  /** What the end of a VM's hypervisor means for it. */
  meaningOf(vm: RunningVm, exit: ProcessExit): ExitMeaning {
    return meaningOfExit(exit, vm.control?.guestEnd, this.#hypervisor.hasBrokenClock(exit));
  }

  /** The last lines that the hypervisor wrote, for an event. */
  lastWords(vmId: number): Promise<readonly string[]> {
    return this.#connections.lastWords(vmId);
  }

  #makeSteps(): readonly Step<LaunchContext>[] {
    const host = this.#host;
    return [
      {
        name: 'network',
        run: async ({ record: { leases } }) => {
          if (leases.tapName !== null) await this.#hostFacts.ensureNetwork();
        },
        // The bridge is everybody's: it stays.
        undo: async () => undefined,
      },
      {
        name: 'devices',
        run: ({ record, resolved }) =>
          this.#devices.takeFor(record.id, resolved.spec.pciDevices, resolved.deviceAllowlist),
        undo: ({ record }) => this.releaseDevices(record),
      },
      {
        name: 'media',
        run: async (context) => {
          const { record, resolved, preparation, turn } = context;
          if (turn === undefined) throw new VolantError('INTERNAL');
          const { located } = preparation;
          context.media = await this.#media.provide(record, resolved.media, located, turn);
        },
        // What a guest wrote before is not taken from it because a start has failed.
        undo: async ({ record }) => {
          if (record.neverRan) await this.#media.removeDisks(record.id);
        },
      },
      {
        name: 'host ports',
        run: ({ record, resolved }) => this.#exposures.set(record, resolved.exposedPorts),
        undo: ({ record }) => this.#exposures.clear(record.id),
      },
      {
        name: 'place to boot',
        run: async ({ record, preparation, turn }) => {
          if (turn === undefined) throw new VolantError('INTERNAL');
          await this.#boots.enter(record.id, preparation.facts, turn);
        },
        undo: async ({ record }) => this.#boots.leave(record.id),
      },
      {
        // One job for all that the process needs: a turn of a worker thread costs more than each of them.
        name: 'process',
        run: async (context) => {
          context.process = await this.#launchProcess(context);
        },
        undo: async ({ record, process }) => {
          if (process !== undefined) {
            await process.signal('SIGKILL');
            const exit = await within(process.exited, LIMITS.stopKillMs);
            if (exit === undefined) throw new VolantError('STOP_FAILED');
          }
          await this.#releaseHost(record);
          await host.removeRunDirectory(record.id);
        },
      },
      {
        name: 'control socket',
        run: async (context) => {
          const { record, process, resolved } = context;
          if (process === undefined) throw new VolantError('INTERNAL');
          const timeoutMs = launchTimeoutMs(resolved);
          context.control = await this.#connections.control(record, process, timeoutMs);
        },
        undo: async ({ control }) => control?.close(),
      },
    ];
  }

  /** What a guest that lives may still wait for on its channel. */
  #manifestOf(record: VmRecord, config: VmConfig | undefined): string | null {
    if (config === undefined) return null;
    const { name, kernelCmdline } = record;
    try {
      return manifestForChannel(name, kernelCmdline, config, LIMITS.kernelCmdlineBytesMax);
    } catch (error) {
      this.#log.error({ vm: name, err: error }, 'the manifest of an adopted VM cannot be sent');
      return null;
    }
  }

  async #releaseHost({ id, leases }: VmRecord): Promise<void> {
    await Promise.all([
      leases.tapName === null ? undefined : this.#host.removeTap(leases.tapName),
      this.#host.removeCgroup(cgroupNameOf(id)),
    ]);
  }

  #launchProcess({ record, resolved, preparation, media }: LaunchContext): Promise<WatchedProcess> {
    if (media === undefined) throw new VolantError('INTERNAL');
    const spec = { ...resolved.spec, ...media };
    const { executable, argv } = this.#hypervisor.command(spec, preparation.facts);
    const workingDirectory = this.runDirectory(record.id);
    const guest = guestOf(record);
    return this.#host.launch({
      executable,
      argv,
      workingDirectory,
      tap: guest && { guest, ...this.#hostFacts.placeOf(guest) },
      logPath: `${workingDirectory}/${RUN_FILES.hypervisorLog}`,
      cgroup: cgroupOf(record),
      boots: preparation.facts.driver !== 'simulator',
      sandbox: sandboxOf(this.#config, spec, preparation.facts),
    });
  }
}

function launchTimeoutMs({ spec }: ResolvedLaunch): number {
  const isPinned = spec.pciDevices.length > 0;
  const pinningMs = isPinned ? (1000 * spec.memoryMb) / LIMITS.pinnedMbPerSecondMin : 0;
  return LIMITS.launchTimeoutMs + pinningMs;
}
