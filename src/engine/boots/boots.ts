// engine, boots: the boot phase of guests, from launch until their agent is heard of. Only so many guests are in it
// at a time: under emulation a kernel that is kept from its processor while it calibrates its timer has none afterwards.

import { LIMITS } from '../../config.ts';
import type { Logger } from '../../lib/log.ts';
import type { Turn } from '../operations.ts';
import type { AgentConnection, HypervisorFacts, WatchedProcess } from '../ports.ts';
import { BootQueue } from './boot-queue.ts';

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
  readonly process: Pick<WatchedProcess, 'exited'>;
  readonly agent: Pick<AgentConnection, 'ready'> | null;
}

export class Boots {
  readonly #parts: BootsParts;
  readonly #queue = new BootQueue();
  readonly #watches = new Set<AbortController>();

  constructor(parts: BootsParts) {
    this.#parts = parts;
  }

  /** Guests in their boot phase, and launches that wait. */
  get counts(): { readonly booting: number; readonly waiting: number } {
    return { booting: this.#queue.booting, waiting: this.#queue.waiting };
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
        await this.#queue.enter(vmId, placesMax, signal);
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
  watch(vmId: number, vm: BootingVm): void {
    if (vm.agent === null) {
      this.#queue.leave(vmId);
      return;
    }
    const watch = new AbortController();
    this.#watches.add(watch);
    const over = () => watch.abort(new Error('the boot phase is over'));
    const timer = setTimeout(over, LIMITS.bootTimeoutMs).unref();
    void vm.process.exited.then(over);
    // Rejects when the phase ends without a word of the agent's, or with its connection: it is over all the same.
    const ready = vm.agent.ready(watch.signal).catch((error: unknown) => {
      this.#parts.log.debug({ id: vmId, err: error }, 'a boot phase ended without the agent');
    });
    void ready.then(() => {
      clearTimeout(timer);
      this.#watches.delete(watch);
      this.#queue.leave(vmId);
    });
  }

  /** Takes over a guest that an earlier daemon launched: until its agent has answered it may be booting. */
  adopt(vmId: number, vm: BootingVm): void {
    if (vm.agent !== null) this.#queue.hold(vmId);
    this.watch(vmId, vm);
  }

  close(): void {
    for (const watch of this.#watches) watch.abort(new Error('the daemon ends'));
  }

  #placesMax({ accelerator }: Pick<HypervisorFacts, 'accelerator'>): number {
    const { bootsMax, cores } = this.#parts;
    if (bootsMax > 0) return bootsMax;
    return cores * (accelerator === 'kvm' ? KVM_PER_CORE : EMULATED_PER_CORE);
  }
}
