// engine, vms: resolves what a launch needs before anything is made: hypervisor, kernel, images, and from these one
// LaunchSpec.

import { isDeepStrictEqual } from 'node:util';
import { LIMITS } from '../../../config/limits.ts';
import type { Config } from '../../../config.ts';
import { VolantError } from '../../../lib/errors.ts';
import type { Turn } from '../../../lib/queues/turn.ts';
import type { VmConfig } from '../../../schema/vm-config.ts';
import type { Budget } from '../../budget/budget.ts';
import { lookUpDevices } from '../../devices/device-lookup.ts';
import type { HostFacts } from '../../facts/host-facts.ts';
import type { BootMemory } from '../../media/boot-memory.ts';
import type { LocatedMedia, Media } from '../../media/media.ts';
import { mediaPlanOf } from '../../media/media-plan.ts';
import type { HostPorts } from '../../ports/host-ports.ts';
import type { HypervisorFacts } from '../../ports/process-ports.ts';
import type { VmRecord } from '../../records.ts';
import type { State } from '../../state/state.ts';
import { pciDevicesOf, type ResolvedLaunch, resolveLaunch } from './launch-spec.ts';

/** What a launch needs of the host. It is gathered before anything is allocated. */
export interface LaunchPreparation {
  readonly facts: HypervisorFacts;
  readonly kernelPath: string;
  readonly located: LocatedMedia;
  readonly nameServers: readonly string[];
}

/** What the record of a VM stores of its launch. */
export type LaunchFacts = Pick<
  VmRecord,
  'kernelCmdline' | 'launchedConfigVersion' | 'runtime' | 'cpuCores' | 'memoryMb' | 'driver'
>;

/** A resolved launch, before anything of it is made. */
export interface LaunchDraft {
  readonly resolved: ResolvedLaunch;
  readonly preparation: LaunchPreparation;
  readonly facts: LaunchFacts;
}

export interface LaunchPlannerParts {
  readonly config: Config;
  readonly host: Pick<HostPorts, 'media' | 'devices'>;
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
   * Finds hypervisor, kernel and images. With `vmId`, those that the VM's earlier launch used. Each missing thing has
   * an error of its own; BODY_INVALID if the guest cannot boot in its memory.
   */
  async prepare(config: VmConfig, vmId: number | null): Promise<LaunchPreparation> {
    const { host, hostFacts, media, bootMemory } = this.#parts;
    const plan = mediaPlanOf(config);
    const [facts, kernel, located, nameServers] = await Promise.all([
      hostFacts.hypervisor(),
      plan.kernelPath === null ? host.media.findKernel() : null,
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

  /**
   * Checks a config as far as that is possible before a launch. Throws BODY_INVALID, which names `memoryField`, if no
   * guest could boot in its memory; MEDIA_NOT_ALLOWED or MEDIA_INVALID for its files, and DEVICE_NOT_FOUND, unless the
   * config `before` has the same ones. Files that do not exist may be added before the launch: returns a warning for
   * each, by field.
   */
  async requireLaunchable(
    config: VmConfig,
    memoryField: string,
    before?: VmConfig,
  ): Promise<Readonly<Record<string, string>>> {
    const { bootMemory, media, host } = this.#parts;
    const plan = mediaPlanOf(config);
    const { memoryBytes } = plan;
    const isKnown =
      before !== undefined && isDeepStrictEqual({ ...mediaPlanOf(before), memoryBytes }, plan);
    const missing = isKnown ? {} : await media.require(plan);
    const devices = pciDevicesOf(config);
    const isSame = before !== undefined && isDeepStrictEqual(pciDevicesOf(before), devices);
    if (devices.length > 0 && !isSame) await lookUpDevices(host.devices, devices);
    await bootMemory.requireFor(config.resources.memory_mb, plan, memoryField);
    return missing;
  }

  /** The launch of a VM with these allocations. Throws CMDLINE_TOO_LONG. */
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
   * The launch of a VM by its newest config. Throws MEMORY_EXHAUSTED or CPU_EXHAUSTED if the config has grown since it
   * was admitted and the host has no capacity.
   */
  async draft(record: VmRecord, turn: Turn): Promise<LaunchDraft> {
    const { config } = this.#parts.state.configOf(record, record.configVersion);
    const vmId = record.neverRan ? null : record.id;
    // A checksum may have to be computed first, which takes time.
    const preparation = await turn.wait(() => this.prepare(config, vmId));
    const draft = this.resolve(record, config, preparation);
    const { driver } = draft.facts;
    this.#parts.budget.require({ id: record.id, driver }, draft.facts);
    return draft;
  }
}
