// engine, vms: what a launch needs, found and resolved before anything is made: hypervisor, kernel, images and the one
// specification that comes of them.

import { type Config, LIMITS } from '../../config.ts';
import { VolantError } from '../../lib/errors.ts';
import type { VmConfig } from '../../schema/vm-config.ts';
import type { Budget } from '../budget/budget.ts';
import type { HostFacts } from '../host-facts.ts';
import type { BootMemory } from '../media/boot-memory.ts';
import type { LocatedMedia, Media } from '../media/media.ts';
import { mediaPlanOf } from '../media/media-plan.ts';
import type { HostPort, HypervisorFacts } from '../ports.ts';
import type { VmRecord } from '../records.ts';
import type { State } from '../state.ts';
import { type ResolvedLaunch, resolveLaunch } from './launch-spec.ts';
import type { Turn } from './operations.ts';

/** What a launch needs of the host; asked for before anything is leased. */
export interface LaunchPreparation {
  readonly facts: HypervisorFacts;
  readonly kernelPath: string;
  readonly located: LocatedMedia;
  readonly nameServers: readonly string[];
}

/** What the record of a VM says of its launch. */
export type LaunchFacts = Pick<
  VmRecord,
  'kernelCmdline' | 'launchedConfigVersion' | 'runtime' | 'cpuCores' | 'memoryMb' | 'driver'
>;

/** A launch of which nothing is made yet. */
export interface LaunchDraft {
  readonly resolved: ResolvedLaunch;
  readonly preparation: LaunchPreparation;
  readonly facts: LaunchFacts;
}

export interface LaunchPlannerParts {
  readonly config: Config;
  readonly host: Pick<HostPort, 'findKernel'>;
  readonly hostFacts: HostFacts;
  readonly media: Media;
  readonly bootMemory: BootMemory;
  readonly budget: Budget;
  readonly state: State;
}

export class LaunchPlanner {
  readonly #parts: LaunchPlannerParts;

  constructor(parts: LaunchPlannerParts) {
    this.#parts = parts;
  }

  /**
   * Finds hypervisor, kernel and images; for a VM that was launched before, those that it was made of. Each
   * thing that is missing has its own error; BODY_INVALID where the guest could not boot in its memory.
   */
  async prepare(config: VmConfig, vmId: number | null): Promise<LaunchPreparation> {
    const { host, hostFacts, media, bootMemory } = this.#parts;
    const plan = mediaPlanOf(config);
    const [facts, kernel, located, nameServers] = await Promise.all([
      hostFacts.hypervisor(),
      plan.kernelPath === null ? host.findKernel() : null,
      media.locate(plan, vmId),
      hostFacts.nameServers(),
    ]);
    const kernelPath = located.kernelPath ?? kernel?.realPath;
    if (kernelPath === undefined) throw new VolantError('INTERNAL', 'There is no kernel to launch');
    const { initramfsPath } = located;
    await bootMemory.require(
      config.resources.memory_mb,
      { kernelPath, initramfsPath },
      'memory_mb',
    );
    return { facts, kernelPath, located, nameServers };
  }

  /** BODY_INVALID where no guest of this config could boot in its memory, as far as that is known before a launch. */
  async requireMemory(config: VmConfig, field: string): Promise<void> {
    const { memory_mb } = config.resources;
    await this.#parts.bootMemory.requireFor(memory_mb, mediaPlanOf(config), field);
  }

  /** The launch of a VM with these leases. CMDLINE_TOO_LONG. */
  resolve(
    vm: Pick<VmRecord, 'id' | 'name' | 'leases' | 'replica' | 'configVersion'>,
    config: VmConfig,
    preparation: LaunchPreparation,
  ): LaunchDraft {
    const { config: settings } = this.#parts;
    const resolved = resolveLaunch({
      vmId: vm.id,
      name: vm.name,
      leases: vm.leases,
      replica: vm.replica,
      config,
      ...preparation,
      runDirectory: `${settings.runtimeDirectory}/${vm.id}`,
      hostIp: settings.hostIp,
      machine: settings.machine,
      prefixLength: settings.subnet.prefixLength,
      kernelCmdlineBytesMax: LIMITS.kernelCmdlineBytesMax,
    });
    const facts: LaunchFacts = {
      kernelCmdline: resolved.kernelCmdline,
      launchedConfigVersion: vm.configVersion,
      runtime: config.runtime,
      cpuCores: config.resources.cpu_cores,
      memoryMb: config.resources.memory_mb,
      driver: preparation.facts.driver,
    };
    return { resolved, preparation, facts };
  }

  /**
   * The launch of a VM as its newest config wants it. MEMORY_EXHAUSTED, CPU_EXHAUSTED when that has become larger since
   * it was admitted, and the host has no room.
   */
  async draft(record: VmRecord, turn: Turn): Promise<LaunchDraft> {
    const { config } = this.#parts.state.configOf(record, record.configVersion);
    const vmId = record.neverRan ? null : record.id;
    // A checksum may have to be computed first.
    const preparation = await turn.wait(() => this.prepare(config, vmId));
    const draft = this.resolve(record, config, preparation);
    const { driver } = draft.facts;
    this.#parts.budget.require({ id: record.id, driver }, draft.facts);
    return draft;
  }
}
