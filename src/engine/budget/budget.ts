// engine, budget: the account of memory and vCPUs that VMs take of the host: those of their records, and those of
// launches that are admitted and not stored yet. rules.ts says what a VM costs and what fits. A running VM is never
// ended because of the budget.

import type { BudgetSettings } from '../../config/budget.ts';
import { bootsGuests, type DriverName } from '../../config/drivers.ts';
import type { HostBudget } from '../../schema/system.ts';
import type { VmRecord } from '../records.ts';
import type { State } from '../state/state.ts';
import {
  type Cost,
  costOf,
  costOfRecord,
  largerOf,
  limitsOf,
  NOTHING,
  refusalOf,
  type VmSize,
} from './rules.ts';

export interface BudgetParts {
  readonly state: Pick<State, 'vms'>;
  readonly settings: BudgetSettings;
  /** The memory and cores of the host. */
  readonly hostSize: () => VmSize;
}

/** A VM that asks to be launched. */
interface LaunchCandidate {
  readonly id: number;
  readonly driver: DriverName;
}

export class Budget {
  readonly #parts: BudgetParts;
  /** The cost of each VM according to its record. */
  readonly #written = new Map<number, Cost>();
  /** The cost of each launch that is admitted and not in a record yet. */
  readonly #admitted = new Map<number, Cost>();
  readonly #listeners = new Set<() => void>();
  #memoryMb = 0;
  #cpuCores = 0;
  #isNotifying = false;
  /** The driver of the last requested launch; null before the first. */
  #driver: DriverName | null = null;

  constructor(parts: BudgetParts) {
    this.#parts = parts;
    const { vms } = parts.state;
    // One at rest takes nothing.
    for (const record of vms.active()) this.#follow(record.id, record);
    vms.watch((vmId, record) => this.#follow(vmId, record));
  }

  /**
   * Counts a launch until `settle`; from then on its record counts. Throws MEMORY_EXHAUSTED or CPU_EXHAUSTED. A running
   * VM can always be launched again with its size.
   */
  admit({ id, driver }: LaunchCandidate, size: VmSize): void {
    this.require({ id, driver }, size);
    if (this.#counts(driver)) this.#change(id, this.#admitted, costOf(size));
  }

  /** As `admit`, without counting the launch. */
  require({ id, driver }: LaunchCandidate, size: VmSize): void {
    this.#driver = driver;
    if (!this.#counts(driver)) return;
    const refusal = this.#refusal(size, id);
    if (refusal !== null) throw refusal;
  }

  /** Ends `admit`: the launch is stored or was given up. */
  settle(vmId: number): void {
    this.#change(vmId, this.#admitted, NOTHING);
  }

  /**
   * Why another VM of this size would be refused; null if it would not. `inPlaceOf` is a VM whose share would become
   * free.
   */
  refusal(size: VmSize, inPlaceOf: number | null) {
    // Before the first launch it is unknown whether the driver counts; the launch itself is checked.
    if (this.#driver === null || !this.#counts(this.#driver)) return null;
    return this.#refusal(size, inPlaceOf);
  }

  /** Calls the listener soon after something was released. Returns a function that unsubscribes. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The figures of the budget, for the API. */
  get report(): HostBudget {
    const { settings, hostSize } = this.#parts;
    const host = hostSize();
    const limits = limitsOf(host, settings);
    return {
      memory_total_mb: host.memoryMb,
      memory_limit_mb: finite(limits.memoryMb),
      memory_used_mb: this.#memoryMb,
      cpu_cores: host.cpuCores,
      vcpus_limit: finite(limits.cpuCores),
      vcpus_used: this.#cpuCores,
    };
  }

  #refusal(size: VmSize, vmId: number | null) {
    const { settings, hostSize } = this.#parts;
    const used = { memoryMb: this.#memoryMb, cpuCores: this.#cpuCores };
    const own = vmId === null ? NOTHING : this.#takenBy(vmId);
    return refusalOf({ size, own, used, host: hostSize(), settings });
  }

  #counts(driver: DriverName): boolean {
    return bootsGuests(driver) || this.#parts.settings.countsSimulator;
  }

  #follow(vmId: number, record: VmRecord | undefined): void {
    const isCounted = record !== undefined && this.#counts(record.driver);
    this.#change(vmId, this.#written, isCounted ? costOfRecord(record) : NOTHING);
  }

  #takenBy(vmId: number): Cost {
    return largerOf(this.#written.get(vmId) ?? NOTHING, this.#admitted.get(vmId) ?? NOTHING);
  }

  #change(vmId: number, account: Map<number, Cost>, cost: Cost): void {
    const before = this.#takenBy(vmId);
    if (cost.memoryMb === 0) account.delete(vmId);
    else account.set(vmId, cost);
    const after = this.#takenBy(vmId);
    this.#memoryMb += after.memoryMb - before.memoryMb;
    this.#cpuCores += after.cpuCores - before.cpuCores;
    if (after.memoryMb < before.memoryMb || after.cpuCores < before.cpuCores) this.#notifySoon();
  }

  /** Many releases in one turn of the event loop are reported once. */
  #notifySoon(): void {
    if (this.#isNotifying || this.#listeners.size === 0) return;
    this.#isNotifying = true;
    setImmediate(() => {
      this.#isNotifying = false;
      for (const listener of [...this.#listeners]) listener();
    });
  }
}

function finite(limit: number): number | null {
  return Number.isFinite(limit) ? limit : null;
}
