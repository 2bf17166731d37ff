// engine, vms: hypervisor processes. Launches them, connects to them, adopts those of an earlier daemon, and releases
// what they used on the host.

import { setImmediate as turn } from 'node:timers/promises';
import { bootsGuests } from '../../../config/drivers.ts';
import { LIMITS } from '../../../config/limits.ts';
import type { Config } from '../../../config.ts';
import { allDone } from '../../../lib/all-done.ts';
import type { Logger } from '../../../lib/log/log.ts';
import type { VmConfig } from '../../../schema/vm-config.ts';
import type { HostFacts } from '../../facts/host-facts.ts';
import type { BootMemory } from '../../media/boot-memory.ts';
import type { DiskGuard } from '../../media/disk-guard.ts';
import type { BootMedia } from '../../media/media.ts';
import type { MetadataService } from '../../metadata/metadata-service.ts';
import type { HostPorts } from '../../ports/host-ports.ts';
import { type HypervisorPort, RUN_FILES } from '../../ports/hypervisor-ports.ts';
import type { ProcessExit, WatchedProcess } from '../../ports/process-ports.ts';
import type { ProcessIdentity, VmRecord } from '../../records.ts';
import type { State } from '../../state/state.ts';
import { cgroupNameOf, guestOf } from '../../vm-record/derived-names.ts';
import { isSameRules } from '../../vm-record/record-egress.ts';
import { cgroupOf } from '../launch/cgroup-limits.ts';
import type { LaunchDraft } from '../launch/launch-planner.ts';
import { manifestForChannel, type ResolvedLaunch } from '../launch/launch-spec.ts';
import { sandboxOf } from '../launch/sandbox.ts';
import { Connections } from './connections.ts';
import { ControlLink } from './control-link.ts';
import { type Describe, Descriptions } from './descriptions.ts';
import { type ExitMeaning, meaningOfExit } from './exit-meaning.ts';
import type { RunningVm } from './live.ts';

export interface HypervisorsParts {
  readonly config: Config;
  readonly host: Pick<HostPorts, 'network' | 'processes'>;
  readonly hypervisor: HypervisorPort;
  readonly hostFacts: HostFacts;
  readonly bootMemory: BootMemory;
  readonly diskGuard: DiskGuard;
  readonly state: State;
  readonly describe: Describe;
  readonly metadata: MetadataService;
  readonly log: Logger;
}

export class Hypervisors {
  readonly #parts: HypervisorsParts;
  readonly #connections: Connections;
  readonly #descriptions: Descriptions;
  /** The links of adopted hypervisors that wait for `connectAdopted`; null afterwards. */
  #adopted: ControlLink[] | null = [];

  constructor(parts: HypervisorsParts) {
    this.#parts = parts;
    this.#descriptions = new Descriptions({ ...parts, host: parts.host.processes });
    this.#connections = new Connections({
      ...parts,
      host: parts.host.processes,
      runDirectory: (vmId) => this.runDirectory(vmId),
    });
  }

  runDirectory(vmId: number): string {
    return `${this.#parts.config.runtimeDirectory}/${vmId}`;
  }

  /**
   * Makes run directory, tap, cgroup and process, without connecting. Throws BODY_INVALID as LaunchPlanner.prepare
   * does.
   */
  async launch(record: VmRecord, draft: LaunchDraft, media: BootMedia): Promise<RunningVm> {
    const { config, host, hypervisor, hostFacts, bootMemory, state } = this.#parts;
    const { resolved, preparation } = draft;
    const { kernelPath, located } = preparation;
    const { initramfsPath } = media;
    // Files that were downloaded for this launch can be checked only now.
    if (located.initramfsPath === null) {
      const files = { kernelPath, initramfsPath };
      await bootMemory.require(resolved.spec.memoryMb, files, 'memory_mb');
    }
    const spec = { ...resolved.spec, ...media };
    const { executable, argv } = hypervisor.command(spec, preparation.facts);
    const workingDirectory = this.runDirectory(record.id);
    if (guestOf(record) !== null) await hostFacts.ensureNetwork();
    // Egress rules may have changed since the launch began, and must be those of the newest config.
    const guest = guestOf(state.find(record.id) ?? record);
    const process = await host.processes.launch({
      executable,
      argv,
      workingDirectory,
      tap: guest && { guest, ...hostFacts.bridgeOf(guest) },
      controlPath: `${workingDirectory}/${RUN_FILES.control}`,
      logPath: `${workingDirectory}/${RUN_FILES.hypervisorLog}`,
      cgroup: cgroupOf(record),
      boots: bootsGuests(preparation.facts.driver),
      sandbox: sandboxOf(config, spec, preparation.facts),
      // TCG gains no speed by them, and a small guest costs 4 MiB more: each page counts whole when a part of it is used.
      hugePages: preparation.facts.accelerator === 'kvm',
    });
    this.#descriptions.schedule(record.id);
    return { process, control: this.#linkTo(record, process, false), agent: null };
  }

  /** Resolves when the control socket answers. Throws HYPERVISOR_FAILED, HYPERVISOR_TIMEOUT or CID_TAKEN. */
  async connect(record: VmRecord, vm: RunningVm, resolved: ResolvedLaunch): Promise<void> {
    const { host, hostFacts, state } = this.#parts;
    const latest = state.find(record.id) ?? record;
    const guest = guestOf(latest);
    // A change of the rules during the launch may have come before its tap got the earlier ones.
    if (guest !== null && !isSameRules(latest.egress, record.egress)) {
      await host.network.setEgress(hostFacts.networkSpec, guest);
    }
    const timeoutMs = launchTimeoutMs(resolved);
    vm.control.take(await this.#connections.control(record, vm.process, timeoutMs));
    vm.agent = this.#connections.agent(record, () => resolved.manifestOverChannel, vm.process);
  }

  /**
   * Adopts a hypervisor that another daemon launched. Resolves to null only if its process is gone. An unusable config
   * does not cost a living guest its life, and a hypervisor that does not answer is connected to later. `launched` reads
   * the config of its launch.
   */
  async adopt(
    record: VmRecord,
    identity: ProcessIdentity,
    launched: () => VmConfig | undefined,
  ): Promise<RunningVm | null> {
    const process = await this.#parts.host.processes.adopt(record.id, identity);
    if (process === null) return null;
    this.#descriptions.schedule(record.id);
    const manifest = () => this.#manifestOf(record, launched());
    const agent = this.#connections.agent(record, manifest, process);
    const control = this.#linkTo(record, process, true);
    if (this.#adopted === null) control.connect();
    else this.#adopted.push(control);
    return { process, control, agent };
  }

  /**
   * Connects to hypervisors that were adopted so far; those that are adopted from now on are connected to at once. Until
   * then only a power button connects. A start of the daemon thus knows all its hypervisors before it talks to any.
   */
  async connectAdopted(): Promise<void> {
    const links = this.#adopted ?? [];
    this.#adopted = null;
    for (const [index, link] of links.entries()) {
      link.connect();
      if (index % LIMITS.controlConnectsPerTurnMax === 0) await turn();
    }
  }

  /** Removes what a process leaves behind in the kernel: tap and cgroup. */
  async release({ id, leases }: VmRecord): Promise<void> {
    const { host } = this.#parts;
    await allDone([
      leases.tapName === null ? undefined : host.network.removeTap(leases.tapName),
      host.processes.removeCgroup(cgroupNameOf(id)),
    ]);
  }

  removeRunDirectory(vmId: number): Promise<void> {
    return this.#parts.host.processes.removeRunDirectory(vmId);
  }

  /** What the exit of a VM's hypervisor means for the VM. */
  meaningOf(
    { driver }: Pick<VmRecord, 'driver'>,
    vm: RunningVm | null,
    exit: ProcessExit,
  ): ExitMeaning {
    const { hypervisor } = this.#parts;
    return meaningOfExit(exit, vm?.control.guestEnd, hypervisor.hasBrokenClock(driver, exit));
  }

  /** The hypervisor's stderr tail, for an event. */
  stderrTail(vmId: number): Promise<readonly string[]> {
    return this.#connections.stderrTail(vmId);
  }

  /** Writes descriptions that are not on disk yet. */
  close(): Promise<void> {
    return this.#descriptions.close();
  }

  #linkTo(record: VmRecord, process: WatchedProcess, wasAdopted: boolean): ControlLink {
    const { hypervisor, diskGuard, log } = this.#parts;
    let mayHaveMissed = wasAdopted;
    const link = new ControlLink({
      connect: (signal) => hypervisor.connect(record.driver, this.runDirectory(record.id), signal),
      onConnected: (control) => {
        // A pause of the guest is missed while there is no connection.
        diskGuard.watch(record, control, mayHaveMissed);
        mayHaveMissed = true;
      },
      log: log.child({ vm: record.name, id: record.id }),
    });
    void process.exited.then(() => link.close());
    return link;
  }

  /** The manifest that a living guest may still wait for on its channel. */
  #manifestOf(record: VmRecord, config: VmConfig | undefined): string | null {
    if (config === undefined) return null;
    const { name, kernelCmdline } = record;
    try {
      return manifestForChannel(name, kernelCmdline, config, LIMITS.kernelCmdlineBytesMax);
    } catch (error) {
      this.#parts.log.error(
        { vm: name, err: error },
        'the manifest of an adopted VM cannot be sent',
      );
      return null;
    }
  }
}

function launchTimeoutMs({ spec }: ResolvedLaunch): number {
  const isPinned = spec.pciDevices.length > 0;
  const pinningMs = isPinned ? (1000 * spec.memoryMb) / LIMITS.pinnedMbPerSecondMin : 0;
  return LIMITS.launchTimeoutMs + pinningMs;
}
