// engine, boots: the boot phase of guests, from the launch until the first answer of the agent. Boot slots bound how
// many guests boot at a time. Under emulation, a kernel that gets no processor time while it calibrates its timer has
// no working timer afterwards.

import { bootsGuests } from '../../config/drivers.ts';
import { LIMITS } from '../../config/limits.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { Turn } from '../../lib/queues/turn.ts';
import type { Queue } from '../../schema/stats.ts';
import type { AgentConnection } from '../ports/hypervisor-ports.ts';
import type { HypervisorFacts, WatchedProcess } from '../ports/process-ports.ts';
import type { VmRecord } from '../records.ts';
import type { BootCounts } from '../system-api.ts';
import { hangsInBoot } from './hung-boot.ts';
import { Slots } from './slots.ts';

/** Guests that may boot at a time, for each core of the host. */
const EMULATED_PER_CORE = 2;
/** Under KVM other guests do not disturb the calibration of the timer. This bounds the peak of disk and memory load. */
const KVM_PER_CORE = 8;

export interface BootsParts {
  /** The setting; 0 selects the default for the host. */
  readonly bootsMax: number;
  readonly cores: number;
  /** Sets the status reason of a VM whose launch waits; null removes it. */
  readonly setStatusReason: (vmId: number, reason: string | null) => void;
  /** What a guest boots, as a key: of the guests of one key all have an agent, or none. */
  readonly softwareOf: (record: BootingRecord) => string;
  /** Processor time of a hypervisor since its launch, in seconds; NaN if it is unknown. */
  readonly processorSeconds: (vmId: number, process: BootingVm['process']) => Promise<number>;
  readonly log: Logger;
}

interface BootingVm {
  readonly process: Pick<WatchedProcess, 'exited' | 'identity' | 'signal'>;
  readonly agent: Pick<AgentConnection, 'ready'> | null;
}

type OverListener = (vmId: number, process: BootingVm['process']) => void;

type BootingRecord = Pick<VmRecord, 'id' | 'plugin' | 'launchedConfigVersion'>;

/** One boot of one guest. */
interface Phase {
  /** 1 is the first launch. A guest with a broken clock is launched again. */
  readonly attempt: number;
  /** The agent has answered, so the guest's clock works. */
  heard: boolean;
  /** It was ended because it hung. */
  hung: boolean;
  over: boolean;
}

export class Boots {
  readonly #parts: BootsParts;
  readonly #queue = new Slots();
  readonly #watches = new Set<AbortController>();
  readonly #phases = new WeakMap<BootingVm, Phase>();
  /**
   * By what they boot: whether the last guest booted without an answer of an agent. The next guest is then waited for
   * less long.
   */
  readonly #isSilent = new Map<string, boolean>();
  readonly #listeners = new Set<OverListener>();
  #relaunched = 0;

  constructor(parts: BootsParts) {
    this.#parts = parts;
  }

  /** Calls the listener when the boot phase of a running VM is over, for whatever reason. */
  subscribe(listener: OverListener): void {
    this.#listeners.add(listener);
  }

  /** Guests in their boot phase, launches that wait for a boot slot, and guests that were launched again. */
  get counts(): BootCounts {
    const { taken: booting, waiting } = this.#queue;
    return { booting, waiting, relaunched: this.#relaunched };
  }

  /** The queue for boot slots. */
  get queue(): Queue {
    const { taken: running, waiting, slotsMax: capacity } = this.#queue;
    return { name: 'boots', running, capacity, waiting, waiting_max: null };
  }

  /**
   * Resolves when the VM has a boot slot and may be launched. While it waits, it takes no share of the operations'
   * budget, and a stop or delete ends the wait. A driver that boots no guests needs no boot slot.
   */
  async enter(
    vmId: number,
    facts: Pick<HypervisorFacts, 'driver' | 'accelerator'>,
    turn: Turn,
  ): Promise<void> {
    if (!bootsGuests(facts.driver)) return;
    const slotsMax = this.#slotsMax(facts);
    if (this.#queue.tryEnter(vmId, slotsMax)) return;
    const reason = `Waits for a boot slot: at most ${slotsMax} guests boot at a time (VOLANT_BOOTS_MAX)`;
    this.#parts.setStatusReason(vmId, reason);
    let entered = false;
    try {
      await turn.wait(async (signal) => {
        await this.#queue.enter(vmId, slotsMax, signal, turn.client);
        entered = true;
      });
    } catch (error) {
      if (entered) this.#queue.leave(vmId);
      throw error;
    } finally {
      this.#parts.setStatusReason(vmId, null);
    }
  }

  /** Releases the boot slot of a failed launch. */
  leave(vmId: number): void {
    this.#queue.leave(vmId);
  }

  /** Releases the boot slot when the agent answers, the process ends or the deadline is reached. */
  watch(record: BootingRecord, vm: BootingVm, attempt: number): void {
    const isSilent = this.#isSilent.get(this.#parts.softwareOf(record)) ?? false;
    this.#watch(record, vm, attempt, isSilent ? LIMITS.silentBootMs : LIMITS.bootTimeoutMs);
  }

  /** Watches an adopted guest that was launched `ageMs` ago and may still be booting. */
  adopt(record: BootingRecord, vm: BootingVm, ageMs: number): void {
    const leftMs = Math.max(0, LIMITS.bootTimeoutMs - ageMs);
    if (vm.agent !== null && leftMs > 0) this.#queue.hold(record.id);
    this.#watch(record, vm, 1, leftMs);
  }

  /**
   * Whether the guest has booted: its agent has answered, or the deadline is reached and it is unknown whether there is
   * an agent.
   */
  isOver(vm: BootingVm): boolean {
    return this.#phases.get(vm)?.over ?? false;
  }

  /** Whether the hypervisor was ended because its guest hung in its boot. */
  wasHung(vm: BootingVm): boolean {
    return this.#phases.get(vm)?.hung ?? false;
  }

  /** Whether a guest that hung, or ended with a broken clock, may be launched again. A guest that has booted before may not. */
  mayLaunchAgain(vm: BootingVm): boolean {
    const phase = this.#phases.get(vm);
    return phase !== undefined && !phase.heard && phase.attempt < LIMITS.bootAttemptsMax;
  }

  /** Counts a guest that is launched again because of its boot. */
  countRelaunch(): void {
    this.#relaunched += 1;
  }

  /** Ends all watches. */
  close(): void {
    for (const watch of this.#watches) watch.abort(new Error('the daemon ends'));
  }

  #watch(record: BootingRecord, vm: BootingVm, attempt: number, boundMs: number): void {
    const phase: Phase = { attempt, heard: false, hung: false, over: vm.agent === null };
    this.#phases.set(vm, phase);
    if (vm.agent === null) {
      this.#queue.leave(record.id);
      return;
    }
    const watch = new AbortController();
    this.#watches.add(watch);
    const end = () => watch.abort(new Error('the guest or the daemon ends'));
    void vm.process.exited.then(end);
    const comesUp = () => {
      if (phase.over) return;
      phase.over = true;
      for (const listener of this.#listeners) listener(record.id, vm.process);
    };
    const software = this.#parts.softwareOf(record);
    const timer = setTimeout(() => {
      this.#queue.leave(record.id);
      // If the agent of the last such guest has answered, this one's should. The wait continues without a boot slot.
      if (this.#isSilent.get(software) === false) {
        void this.#endIfHung(record.id, vm, phase, watch.signal);
        return;
      }
      this.#remember(software, true);
      comesUp();
    }, boundMs).unref();
    void this.#isHeard(record.id, vm.agent, watch.signal).then((heard) => {
      clearTimeout(timer);
      this.#watches.delete(watch);
      this.#queue.leave(record.id);
      end();
      if (!heard) return;
      phase.heard = true;
      this.#remember(software, false);
      comesUp();
    });
  }

  /** Ends the hypervisor of a guest that hangs, so that it is launched again. The last launch is left as it is. */
  async #endIfHung(vmId: number, vm: BootingVm, phase: Phase, signal: AbortSignal): Promise<void> {
    if (phase.attempt >= LIMITS.bootAttemptsMax) return;
    const processorSeconds = () => this.#parts.processorSeconds(vmId, vm.process);
    try {
      if (!(await hangsInBoot({ processorSeconds, signal }))) return;
      phase.hung = true;
      this.#parts.log.warn({ id: vmId, attempt: phase.attempt }, 'a guest hangs in its boot');
      await vm.process.signal('SIGKILL');
    } catch (error) {
      this.#parts.log.warn({ id: vmId, err: error }, 'a guest that does not boot cannot be judged');
    }
  }

  #remember(software: string, isSilent: boolean): void {
    // The map is bounded by emptying it; what is in use is soon in it again.
    if (this.#isSilent.size >= LIMITS.bootPluginsMax) this.#isSilent.clear();
    this.#isSilent.set(software, isSilent);
  }

  /** Resolves to false if guest, connection or daemon end before the agent answers. */
  async #isHeard(
    vmId: number,
    agent: Pick<AgentConnection, 'ready'>,
    signal: AbortSignal,
  ): Promise<boolean> {
    try {
      await agent.ready(signal);
      return true;
    } catch (error) {
      this.#parts.log.debug({ id: vmId, err: error }, 'a guest ended before its agent answered');
      return false;
    }
  }

  #slotsMax({ accelerator }: Pick<HypervisorFacts, 'accelerator'>): number {
    const { bootsMax, cores } = this.#parts;
    if (bootsMax > 0) return bootsMax;
    return cores * (accelerator === 'kvm' ? KVM_PER_CORE : EMULATED_PER_CORE);
  }
}
