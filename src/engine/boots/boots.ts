// engine, boots: the boot phase of guests, from launch until their agent is heard of. Only so many guests are in it
// at a time: under emulation a kernel that is kept from its processor while it calibrates its timer has none afterwards.

import { LIMITS } from '../../config.ts';
import type { Logger } from '../../lib/log.ts';
import { Places } from '../places.ts';
import type { AgentConnection, HypervisorFacts, WatchedProcess } from '../ports.ts';
import type { VmRecord } from '../records.ts';
import type { BootCounts } from '../system-api.ts';
import type { Turn } from '../vms/operations.ts';

/** For each core of the host. */
const EMULATED_PER_CORE = 2;
/** A kernel under KVM does not calibrate by a timer that others can delay; this bounds the burst of disk and memory. */
const KVM_PER_CORE = 8;

export interface BootsParts {
  /** As it was set; 0 leaves it to us. */
  readonly bootsMax: number;
  readonly cores: number;
  /** Tells readers of the VM why it has not been launched yet; null when it is no longer so. */
  readonly explain: (vmId: number, reason: string | null) => void;
  readonly log: Logger;
}

interface BootingVm {
  readonly process: Pick<WatchedProcess, 'exited' | 'identity'>;
  readonly agent: Pick<AgentConnection, 'ready'> | null;
}

type OverListener = (vmId: number, process: BootingVm['process']) => void;

type BootingRecord = Pick<VmRecord, 'id' | 'plugin'>;

/** One boot of one guest. */
interface Phase {
  /** 1 is the first launch; a guest with a broken clock is launched again. */
  readonly attempt: number;
  /** Of the agent: a guest that it speaks for has a sound clock. */
  heard: boolean;
  over: boolean;
}

export class Boots {
  readonly #parts: BootsParts;
  readonly #queue = new Places();
  readonly #watches = new Set<AbortController>();
  readonly #phases = new WeakMap<BootingVm, Phase>();
  /** By plugin: whether its last guest booted without a word of an agent. The next one is not waited for as long. */
  readonly #isSilent = new Map<string, boolean>();
  readonly #listeners = new Set<OverListener>();
  #relaunched = 0;

  constructor(parts: BootsParts) {
    this.#parts = parts;
  }

  /** Calls back when the boot phase of a VM that runs is over, for whatever reason. */
  subscribe(listener: OverListener): void {
    this.#listeners.add(listener);
  }

  /** Guests in their boot phase, launches that wait, and guests that were launched again. */
  get counts(): BootCounts {
    const { taken: booting, waiting } = this.#queue;
    return { booting, waiting, relaunched: this.#relaunched };
  }

  /**
   * Resolves when the VM may be launched. Who waits has no place among the operations, and a stop or delete
   * ends the wait. A driver without an agent does not take part.
   */
  async enter(
    vmId: number,
    facts: Pick<HypervisorFacts, 'driver' | 'accelerator'>,
    turn: Turn,
  ): Promise<void> {
    if (facts.driver === 'simulator') return;
    const placesMax = this.#placesMax(facts);
    if (this.#queue.tryEnter(vmId, placesMax)) return;
    const reason = `Waits to boot: at most ${placesMax} guests boot at a time (VOLANT_BOOTS_MAX)`;
    this.#parts.explain(vmId, reason);
    let entered = false;
    try {
      await turn.wait(async (signal) => {
        await this.#queue.enter(vmId, placesMax, signal, turn.client);
        entered = true;
      });
    } catch (error) {
      if (entered) this.#queue.leave(vmId);
      throw error;
    } finally {
      this.#parts.explain(vmId, null);
    }
  }

  /** Gives the place of a launch that failed back. */
  leave(vmId: number): void {
    this.#queue.leave(vmId);
  }

  /** The place is given back when the agent is heard of, the process ends, or the bound is reached. */
  watch(record: BootingRecord, vm: BootingVm, attempt: number): void {
    const isSilent = this.#isSilent.get(record.plugin) ?? false;
    this.#watch(record, vm, attempt, isSilent ? LIMITS.silentBootMs : LIMITS.bootTimeoutMs);
  }

  /** Takes over a guest that an earlier daemon launched so long ago: it may be booting still. */
  adopt(record: BootingRecord, vm: BootingVm, ageMs: number): void {
    const leftMs = Math.max(0, LIMITS.bootTimeoutMs - ageMs);
    if (vm.agent !== null && leftMs > 0) this.#queue.hold(record.id);
    this.#watch(record, vm, 1, leftMs);
  }

  /**
   * Whether the guest has come up: its agent was heard of, or the bound is reached and nobody knows that there is one.
   */
  isOver(vm: BootingVm): boolean {
    return this.#phases.get(vm)?.over ?? false;
  }

  /** Whether a guest that ended because its clock is broken has tries left: one that has come up before has none. */
  mayLaunchAgain(vm: BootingVm): boolean {
    const phase = this.#phases.get(vm);
    return phase !== undefined && !phase.heard && phase.attempt < LIMITS.bootAttemptsMax;
  }

  countRelaunch(): void {
    this.#relaunched += 1;
  }

  close(): void {
    for (const watch of this.#watches) watch.abort(new Error('the daemon ends'));
  }

  #watch(record: BootingRecord, vm: BootingVm, attempt: number, boundMs: number): void {
    const phase: Phase = { attempt, heard: false, over: vm.agent === null };
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
    const timer = setTimeout(() => {
      this.#queue.leave(record.id);
      // Where the last guest of the plugin has spoken, this one should: it is waited for, without a place.
      if (this.#isSilent.get(record.plugin) === false) return;
      this.#remember(record.plugin, true);
      comesUp();
    }, boundMs).unref();
    void this.#isHeard(record.id, vm.agent, watch.signal).then((heard) => {
      clearTimeout(timer);
      this.#watches.delete(watch);
      this.#queue.leave(record.id);
      if (!heard) return;
      phase.heard = true;
      this.#remember(record.plugin, false);
      comesUp();
    });
  }

  #remember(plugin: string, isSilent: boolean): void {
    // Plugins come and go; those that are still used are soon known again.
    if (this.#isSilent.size >= LIMITS.bootPluginsMax) this.#isSilent.clear();
    this.#isSilent.set(plugin, isSilent);
  }

  /** false when guest, connection or daemon end without a word of the agent's. */
  async #isHeard(
    vmId: number,
    agent: Pick<AgentConnection, 'ready'>,
    signal: AbortSignal,
  ): Promise<boolean> {
    try {
      await agent.ready(signal);
      return true;
    } catch (error) {
      this.#parts.log.debug({ id: vmId, err: error }, 'a guest ended without a word of its agent');
      return false;
    }
  }

  #placesMax({ accelerator }: Pick<HypervisorFacts, 'accelerator'>): number {
    const { bootsMax, cores } = this.#parts;
    if (bootsMax > 0) return bootsMax;
    return cores * (accelerator === 'kvm' ? KVM_PER_CORE : EMULATED_PER_CORE);
  }
}
