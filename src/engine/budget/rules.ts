// engine, budget: what a VM costs its host, what all VMs may cost together, and whether one more fits. Pure; the size
// of the host and the VMs are arguments.

import type { BudgetSettings } from '../../config/budget.ts';
import { LIMITS } from '../../config/limits.ts';
import { VolantError } from '../../lib/errors.ts';
import type { VmRecord } from '../records.ts';
import { needsLaunch } from '../vm-record/status.ts';

/** What a guest is given. */
export interface VmSize {
  readonly memoryMb: number;
  readonly cpuCores: number;
}

/** What a VM takes of the host, or what all VMs may take; infinite if unlimited. */
export type Cost = VmSize;

export const NOTHING: Cost = { memoryMb: 0, cpuCores: 0 };

/** The cost of a guest with its hypervisor. */
export function costOf({ memoryMb, cpuCores }: VmSize): Cost {
  return { memoryMb: memoryMb + LIMITS.hypervisorCostMb, cpuCores };
}

/**
 * The cost of a record: while its hypervisor runs, while something of it is not released, and from the moment a launch
 * is wanted. A restart may have another size than the process that runs.
 */
export function costOfRecord(record: VmRecord): Cost {
  const { wanted, observed, process } = record;
  const isLaunchNeeded = needsLaunch(record);
  if (!isLaunchNeeded && process === null && observed.isReleased) return NOTHING;
  const present = costOf(record);
  return isLaunchNeeded && wanted.size !== undefined
    ? largerOf(present, costOf(wanted.size))
    : present;
}

/** The larger value of each. */
export function largerOf(one: Cost, other: Cost): Cost {
  return {
    memoryMb: Math.max(one.memoryMb, other.memoryMb),
    cpuCores: Math.max(one.cpuCores, other.cpuCores),
  };
}

/** What VMs may cost together on a host of this size. */
export function limitsOf(host: VmSize, settings: BudgetSettings): Cost {
  const { memoryOvercommit, memoryReserveMb, cpuOvercommit } = settings;
  const memoryMb = Math.floor(host.memoryMb * memoryOvercommit) - memoryReserveMb;
  return {
    memoryMb: memoryOvercommit === 0 ? Number.POSITIVE_INFINITY : Math.max(0, memoryMb),
    cpuCores:
      cpuOvercommit === 0 ? Number.POSITIVE_INFINITY : Math.floor(host.cpuCores * cpuOvercommit),
  };
}

export interface Question {
  readonly size: VmSize;
  /** What the VM takes already. It may have that much again, whatever other VMs take. */
  readonly own: Cost;
  /** What all VMs take, including this one. */
  readonly used: Cost;
  readonly host: VmSize;
  readonly settings: BudgetSettings;
}

/** MEMORY_EXHAUSTED or CPU_EXHAUSTED with the figures, if this VM does not fit beside the others; null if it fits. */
export function refusalOf(question: Question): VolantError | null {
  const { size, own, used, host, settings } = question;
  const cost = costOf(size);
  const limits = limitsOf(host, settings);
  const memory = { asked: cost.memoryMb, own: own.memoryMb, used: used.memoryMb };
  if (exceeds(memory, limits.memoryMb)) {
    const taken = memory.used - memory.own;
    const why = `There is no memory for a VM of ${size.memoryMb} MiB: with its hypervisor it needs ${cost.memoryMb} MiB, other VMs have ${taken} of the ${limits.memoryMb} MiB that VMs may have (${host.memoryMb} MiB of the host, times ${settings.memoryOvercommit}, less ${settings.memoryReserveMb}; VOLANT_MEMORY_OVERCOMMIT, VOLANT_MEMORY_RESERVE_MB)`;
    const details = figures('mb', cost.memoryMb, taken, limits.memoryMb);
    return new VolantError('MEMORY_EXHAUSTED', why, { details });
  }
  const cpu = { asked: cost.cpuCores, own: own.cpuCores, used: used.cpuCores };
  if (exceeds(cpu, limits.cpuCores)) {
    const taken = cpu.used - cpu.own;
    const why = `There are no processors for a VM of ${size.cpuCores} vCPUs: other VMs have ${taken} of the ${limits.cpuCores} vCPUs that VMs may have (${host.cpuCores} cores of the host, times ${settings.cpuOvercommit}; VOLANT_CPU_OVERCOMMIT)`;
    const details = figures('vcpus', cost.cpuCores, taken, limits.cpuCores);
    return new VolantError('CPU_EXHAUSTED', why, { details });
  }
  return null;
}

function exceeds(
  { asked, own, used }: { readonly asked: number; readonly own: number; readonly used: number },
  limit: number,
): boolean {
  return asked > own && used - own + asked > limit;
}

function figures(unit: string, asked: number, used: number, limit: number) {
  return {
    [`asked_${unit}`]: String(asked),
    [`used_${unit}`]: String(used),
    [`limit_${unit}`]: String(limit),
  };
}
