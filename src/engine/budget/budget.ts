// engine, budget: the account of what VMs take of their host. It follows the records, and what was admitted and is not
// written down yet; what fits and what each VM costs is the rules' business. A VM that runs is never ended for it.

import type { BudgetSettings } from '../../config/budget.ts';
import type { HostBudget } from '../../schema/system.ts';
import type { DriverName, VmRecord } from '../records.ts';
import type { State } from '../state.ts';
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
  /** What the host has. */
  readonly hostSize: () => VmSize;
}

/** One that asks to be launched. */
interface Asking {
  readonly id: number;
  readonly driver: DriverName;
}

export class Budget {
  readonly #parts: BudgetParts;
  /** What each VM takes, as its record says. */
  readonly #written = new Map<number, Cost>();
  /** What was admitted and is not in a record yet. */
  readonly #admitted = new Map<number, Cost>();
  readonly #listeners = new Set<() => void>();
  #memoryMb = 0;
  #cpuCores = 0;
  #isTelling = false;
  /** Of the last launch that was asked for; null before the first. */
  #driver: DriverName | null = null;

  constructor(parts: BudgetParts) {
    this.#parts = parts;
    const { vms } = parts.state;
    for (const record of vms.records()) this.#follow(record.id, record);
    vms.watch((vmId, record) => this.#follow(vmId, record));
  }

  /**
   * Counts a launch from now on, until `settle`: its record counts from then on. MEMORY_EXHAUSTED, CPU_EXHAUSTED. One
   * that runs may always be launched anew with what it has.
   */
  admit({ id, driver }: Asking, size: VmSize): void {
    this.require({ id, driver }, size);
    if (this.#counts(driver)) this.#change(id, this.#admitted, costOf(size));
  }

  /** As `admit`, without counting it. */
  require({ id, driver }: Asking, size: VmSize): void {
    this.#driver = driver;
    if (!this.#counts(driver)) return;
    const refusal = this.#refusal(size, id);
    if (refusal !== null) throw refusal;
  }

  /** The launch is written down, or was given up before. */
  settle(vmId: number): void {
    this.#change(vmId, this.#admitted, NOTHING);
  }

  /** Why another VM of this size would be refused, in the place of this one where it is given; null: it would not. */
  refusal(size: VmSize, inPlaceOf: number | null) {
    // Before the first launch nobody knows whether it would count: the launch itself is told.
    if (this.#driver === null || !this.#counts(this.#driver)) return null;
    return this.#refusal(size, inPlaceOf);
  }

  /** Called soon after something was given back. Returns how to end that. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** For a person who wants to know what is left. */
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
    return driver !== 'simulator' || this.#parts.settings.countsSimulator;
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
    if (after.memoryMb < before.memoryMb || after.cpuCores < before.cpuCores) this.#tellSoon();
  }

  /** Many ends of one turn are one piece of news. */
  #tellSoon(): void {
    if (this.#isTelling || this.#listeners.size === 0) return;
    this.#isTelling = true;
    setImmediate(() => {
      this.#isTelling = false;
      for (const listener of [...this.#listeners]) listener();
    });
  }
}

function finite(limit: number): number | null {
  return Number.isFinite(limit) ? limit : null;
}
