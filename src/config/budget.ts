// config: settings of the budget: how much of the host all VMs together may use.

import type { settingsReader } from '../lib/settings.ts';

export interface BudgetSettings {
  /** VMs may have the host's memory times this, less the reserve. 0: no limit. */
  readonly memoryOvercommit: number;
  readonly memoryReserveMb: number;
  /** VMs may have the host's cores times this as vCPUs. 0: no limit. */
  readonly cpuOvercommit: number;
  /** Whether VMs of the simulator count like VMs with guests. */
  readonly countsSimulator: boolean;
}

/** Reads these settings. */
export function readBudget(read: ReturnType<typeof settingsReader>): BudgetSettings {
  return {
    memoryOvercommit: read.factor('VOLANT_MEMORY_OVERCOMMIT', 1.5),
    memoryReserveMb: read.number('VOLANT_MEMORY_RESERVE_MB', 512),
    cpuOvercommit: read.factor('VOLANT_CPU_OVERCOMMIT', 128),
    countsSimulator: read.choice('VOLANT_SIMULATOR_BUDGET', ['on', 'off'], 'off') === 'on',
  };
}
