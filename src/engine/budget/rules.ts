// engine, budget: what a VM costs its host, what all of them may cost, and whether one more fits. Pure: what the host has
// and which VMs there are is not known here.

import type { BudgetSettings } from '../../config/budget.ts';
import { LIMITS } from '../../config.ts';
import { VolantError } from '../../lib/errors.ts';
import type { VmRecord } from '../records.ts';
import { owesLaunch } from '../vms/status.ts';

/** What a guest is given. */
export interface VmSize {
  readonly memoryMb: number;
  readonly cpuCores: number;
}

/** What a VM takes of the host, or what all of them may take; infinite where nothing bounds it. */
export type Cost = VmSize;

export const NOTHING: Cost = { memoryMb: 0, cpuCores: 0 };

/** A guest with its hypervisor. */
export function costOf({ memoryMb, cpuCores }: VmSize): Cost {
  return { memoryMb: memoryMb + LIMITS.hypervisorCostMb, cpuCores };
}

/**
 * What a record takes of the host: as long as its hypervisor runs or something of it is left, and from when a launch is
 * wanted. A restart may come with another size than what runs.
 */
export function costOfRecord(record: VmRecord): Cost {
  const { wanted, observed, process } = record;
  const isOwed = owesLaunch(record);
  if (!isOwed && process === null && observed.isReleased) return NOTHING;
  const present = costOf(record);
  return isOwed && wanted.size !== undefined ? largerOf(present, costOf(wanted.size)) : present;
}

export function largerOf(one: Cost, other: Cost): Cost {
  return {
    memoryMb: Math.max(one.memoryMb, other.memoryMb),
    cpuCores: Math.max(one.cpuCores, other.cpuCores),
  };
}

/** What VMs may cost on a host of this size. */
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
  /** What the VM takes already: it may have as much again, whatever the others take. */
  readonly own: Cost;
  /** What all VMs take, this one included. */
  readonly used: Cost;
  readonly host: VmSize;
  readonly settings: BudgetSettings;
}

/** MEMORY_EXHAUSTED or CPU_EXHAUSTED with the figures where this VM does not fit beside the others; null: it fits. */
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
