// config: how much of the host VMs may have together.

import type { settingsReader } from '../lib/settings.ts';

export interface BudgetSettings {
  /** The host's memory times this, less the reserve, is what VMs may have; 0 is no bound. */
  readonly memoryOvercommit: number;
  readonly memoryReserveMb: number;
  /** The host's cores times this are the vCPUs that VMs may have; 0 is no bound. */
  readonly cpuOvercommit: number;
  /** VMs of the simulator count as if they had guests. */
  readonly countsSimulator: boolean;
}

export function readBudget(read: ReturnType<typeof settingsReader>): BudgetSettings {
  return {
    memoryOvercommit: read.factor('VOLANT_MEMORY_OVERCOMMIT', 1.5),
    memoryReserveMb: read.number('VOLANT_MEMORY_RESERVE_MB', 512),
    cpuOvercommit: read.factor('VOLANT_CPU_OVERCOMMIT', 128),
    countsSimulator: read.choice('VOLANT_SIMULATOR_BUDGET', ['on', 'off'], 'off') === 'on',
  };
}
