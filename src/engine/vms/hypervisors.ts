// engine, vms: hypervisor processes: launched, connected to, taken over from an earlier daemon, and what they hold of
// the host given back.

import { type Config, LIMITS } from '../../config.ts';
import { allDone } from '../../lib/all-done.ts';
import type { Logger } from '../../lib/log.ts';
import type { VmConfig } from '../../schema/vm-config.ts';
import type { HostFacts } from '../host-facts.ts';
import { cgroupNameOf, guestOf } from '../identity.ts';
import type { BootMemory } from '../media/boot-memory.ts';
import type { DiskGuard } from '../media/disk-guard.ts';
import type { BootMedia } from '../media/media.ts';
import {
  type HostPort,
  type HypervisorPort,
  type ProcessExit,
  RUN_FILES,
  type WatchedProcess,
} from '../ports.ts';
import type { ProcessIdentity, VmRecord } from '../records.ts';
import type { State } from '../state.ts';
import { cgroupOf } from './cgroup-limits.ts';
import { Connections } from './connections.ts';
import { ControlLink } from './control-link.ts';
import { type Describe, Descriptions } from './descriptions.ts';
import { type ExitMeaning, meaningOfExit } from './exit-meaning.ts';
import type { LaunchDraft } from './launch-planner.ts';
import { manifestForChannel, type ResolvedLaunch } from './launch-spec.ts';
import type { RunningVm } from './live.ts';
import { sandboxOf } from './sandbox.ts';

export interface HypervisorsParts {
  readonly config: Config;
  readonly host: HostPort;
  readonly hypervisor: HypervisorPort;
  readonly hostFacts: HostFacts;
  readonly bootMemory: BootMemory;
  readonly diskGuard: DiskGuard;
  readonly state: State;
  readonly describe: Describe;
  readonly log: Logger;
}

export class Hypervisors {
  readonly #parts: HypervisorsParts;
  readonly #connections: Connections;
  readonly #descriptions: Descriptions;

  constructor(parts: HypervisorsParts) {
    this.#parts = parts;
    this.#descriptions = new Descriptions(parts);
    this.#connections = new Connections({
      ...parts,
      runDirectory: (vmId) => this.runDirectory(vmId),
    });
  }

  runDirectory(vmId: number): string {
    return `${this.#parts.config.runtimeDirectory}/${vmId}`;
  }

  /** Makes run directory, tap, cgroup and process. Nothing is connected yet. BODY_INVALID as LaunchPlanner.prepare. */
  async launch(record: VmRecord, draft: LaunchDraft, media: BootMedia): Promise<RunningVm> {
    const { config, host, hypervisor, hostFacts, bootMemory } = this.#parts;
    const { resolved, preparation } = draft;
    const { kernelPath, located } = preparation;
    const { initramfsPath } = media;
    // What was downloaded is known only now.
    if (located.initramfsPath === null) {
      const files = { kernelPath, initramfsPath };
      await bootMemory.require(resolved.spec.memoryMb, files, 'memory_mb');
    }
    const spec = { ...resolved.spec, ...media };
    const { executable, argv } = hypervisor.command(spec, preparation.facts);
    const workingDirectory = this.runDirectory(record.id);
    const guest = guestOf(record);
    if (guest !== null) await hostFacts.ensureNetwork();
    const process = await host.launch({
      executable,
      argv,
      workingDirectory,
      tap: guest && { guest, ...hostFacts.placeOf(guest) },
      logPath: `${workingDirectory}/${RUN_FILES.hypervisorLog}`,
      cgroup: cgroupOf(record),
      boots: preparation.facts.driver !== 'simulator',
      sandbox: sandboxOf(config, spec, preparation.facts),
    });
    this.#descriptions.owe(record.id);
    return { process, control: this.#linkTo(record, process, false), agent: null };
  }

  /** Resolves when the control socket answered. HYPERVISOR_FAILED, HYPERVISOR_TIMEOUT, CID_TAKEN. */
  async connect(record: VmRecord, vm: RunningVm, resolved: ResolvedLaunch): Promise<void> {
    const timeoutMs = launchTimeoutMs(resolved);
    vm.control.take(await this.#connections.control(record, vm.process, timeoutMs));
    vm.agent = this.#connections.agent(record, resolved, vm.process);
  }

  /**
   * Takes over a hypervisor that another daemon launched. null when its process is not there any more, and
   * for no other reason: a config that is of no use does not cost a guest that lives, and one that does not
   * answer is connected to later.
   */
  async adopt(
    record: VmRecord,
    identity: ProcessIdentity,
    launched: VmConfig | undefined,
  ): Promise<RunningVm | null> {
    const process = await this.#parts.host.adopt(record.id, identity);
    if (process === null) return null;
    this.#descriptions.owe(record.id);
    const manifestOverChannel = this.#manifestOf(record, launched);
    const agent = this.#connections.agent(record, { manifestOverChannel }, process);
    const control = this.#linkTo(record, process, true);
    control.connect();
    return { process, control, agent };
  }

  /** Removes what a process that is gone leaves in the kernel: its tap and its cgroup. */
  async release({ id, leases }: VmRecord): Promise<void> {
    const { host } = this.#parts;
    await allDone([
      leases.tapName === null ? undefined : host.removeTap(leases.tapName),
      host.removeCgroup(cgroupNameOf(id)),
    ]);
  }

  removeRunDirectory(vmId: number): Promise<void> {
    return this.#parts.host.removeRunDirectory(vmId);
  }

  /** What the end of a VM's hypervisor means for it. */
  meaningOf(vm: RunningVm | null, exit: ProcessExit): ExitMeaning {
    const { hypervisor } = this.#parts;
    return meaningOfExit(exit, vm?.control.guestEnd, hypervisor.hasBrokenClock(exit));
  }

  /** The last lines that the hypervisor wrote, for an event. */
  lastWords(vmId: number): Promise<readonly string[]> {
    return this.#connections.lastWords(vmId);
  }

  /** Writes down what is not yet. */
  close(): Promise<void> {
    return this.#descriptions.close();
  }

  #linkTo(record: VmRecord, process: WatchedProcess, wasAdopted: boolean): ControlLink {
    const { hypervisor, diskGuard, log } = this.#parts;
    let mayHaveMissed = wasAdopted;
    const link = new ControlLink({
      connect: (signal) => hypervisor.connect(record.driver, this.runDirectory(record.id), signal),
      onConnected: (control) => {
        // Whoever was not connected all the time may have missed that its guest was paused.
        diskGuard.watch(record, control, mayHaveMissed);
        mayHaveMissed = true;
      },
      log: log.child({ vm: record.name, id: record.id }),
    });
    void process.exited.then(() => link.close());
    return link;
  }

  /** What a guest that lives may still wait for on its channel. */
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
