// engine, conditions: what was seen of each VM that runs, its conditions in its body, and what must outlive the daemon
// written down, with an event for each change. Who looks tells it here; what follows is a pure function's business.

import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Condition } from '../../schema/condition.ts';
import { vmEvent } from '../events.ts';
import type { EventBody, VmRecord } from '../records.ts';
import type { State, VmChange } from '../state.ts';
import { changed } from '../vms/status.ts';
import {
  changesIn,
  conditionsOf,
  durableOf,
  isResponsive,
  sightOf,
  type VmConditionType,
  type VmSight,
} from './vm-conditions.ts';

export interface ConditionKeeperParts {
  readonly state: State;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Kept {
  sight: VmSight;
  conditions: readonly Condition[];
  /** Monotonic; null while it answers. */
  silentSinceMs: number | null;
  /** What is written down is what is known. */
  isSaved: boolean;
}

/** What is said in an event when a condition is as it should be again. */
const REPAIRED: Readonly<Record<VmConditionType, string>> = {
  Running: 'The hypervisor was looked at: it runs',
  ControlConnected: 'The control socket of the hypervisor is connected again',
  HypervisorResponsive: 'The hypervisor answers again',
  AgentResponsive: 'The agent in the guest answers again',
  WorkloadRunning: 'The workload runs again, and has for a while',
  NetworkInLine: 'The network of the VM is in line again',
  DisksWritable: 'There is room on the disk of the host again',
};

export class ConditionKeeper {
  readonly #parts: ConditionKeeperParts;
  readonly #kept = new Map<number, Kept>();
  readonly #listeners = new Set<(vmId: number) => void>();

  constructor(parts: ConditionKeeperParts) {
    this.#parts = parts;
  }

  /** Calls back when a VM answers no more, or answers again. */
  subscribe(listener: (vmId: number) => void): void {
    this.#listeners.add(listener);
  }

  /** false for one that was asked and does not answer, or whose guest is halted; true for one that was not asked yet. */
  isResponsive(vmId: number): boolean {
    const kept = this.#kept.get(vmId);
    return kept === undefined || isResponsive(kept.sight);
  }

  /** For how long it has not answered. A guest that is paused for want of room on the host's disk does not count. */
  silentForMs(vmId: number): number {
    const kept = this.#kept.get(vmId);
    if (kept === undefined || kept.silentSinceMs === null || kept.sight.isDiskFull) return 0;
    return this.#parts.clock.monotonicMs() - kept.silentSinceMs;
  }

  /** What was seen last; undefined of a VM of which nothing was told. */
  sightOf(vmId: number): VmSight | undefined {
    return this.#kept.get(vmId)?.sight;
  }

  /** Takes what was seen of a VM. Nothing comes of it where no hypervisor of it should run. */
  see(vmId: number, seen: Partial<VmSight>): void {
    const { state, clock } = this.#parts;
    const record = state.find(vmId);
    if (record === undefined || !shouldRun(record)) return;
    const kept = this.#keptOf(record);
    if (kept.isSaved && saysNothingNew(kept.sight, seen)) return;
    const sight = { ...kept.sight, ...seen };
    const before = kept.conditions;
    const conditions = conditionsOf(sight, before, clock.nowMs());
    const wasResponsive = isResponsive(kept.sight);
    kept.sight = sight;
    kept.silentSinceMs = isResponsive(sight) ? null : (kept.silentSinceMs ?? clock.monotonicMs());
    const isSame = textOf(conditions) === textOf(before);
    if (!isSame) {
      kept.conditions = conditions;
      state.vms.observe(vmId, conditions);
      kept.isSaved = kept.isSaved && textOf(durableOf(conditions)) === textOf(durableOf(before));
    }
    if (!kept.isSaved) this.#save(vmId, kept);
    if (wasResponsive === isResponsive(sight)) return;
    for (const listener of this.#listeners) listener(vmId);
  }

  /** A complete look at the network: what differs for which VM. Of all others it is in line. */
  seeNetwork(differing: ReadonlyMap<number, readonly string[]>): void {
    for (const record of this.#parts.state.vms.records()) {
      if (record.process === null || record.leases.tapName === null) continue;
      this.see(record.id, { network: differing.get(record.id) ?? [] });
    }
  }

  /** The hypervisor has ended: what was seen of it counts no more. */
  forget(vmId: number): void {
    if (!this.#kept.delete(vmId)) return;
    this.#parts.state.vms.observe(vmId, null);
  }

  /** Forgets those that do not run any more. */
  prune(): void {
    for (const vmId of this.#kept.keys()) {
      const record = this.#parts.state.find(vmId);
      if (record === undefined || record.process === null) this.forget(vmId);
    }
  }

  #keptOf(record: VmRecord): Kept {
    const known = this.#kept.get(record.id);
    if (known !== undefined) return known;
    const sight = sightOf(record);
    const kept: Kept = {
      sight,
      conditions: record.conditions ?? [],
      silentSinceMs: isResponsive(sight) ? null : this.#parts.clock.monotonicMs(),
      isSaved: true,
    };
    this.#kept.set(record.id, kept);
    return kept;
  }

  /** Of what changes while it is on its way, the last is written down after it. */
  #save(vmId: number, kept: Kept): void {
    const { state, clock, log } = this.#parts;
    kept.isSaved = true;
    const change = (record: VmRecord): VmChange | null => {
      if (this.#kept.get(vmId) !== kept || !shouldRun(record)) return null;
      const before = record.conditions ?? [];
      const conditions = durableOf(kept.conditions);
      if (textOf(conditions) === textOf(before)) return null;
      const next = changed(record, { conditions }, clock.nowMs());
      return { record: next, events: eventsOf(next, before, kept.conditions) };
    };
    state.update(vmId, change).catch((error: unknown) => {
      kept.isSaved = false;
      log.warn({ id: vmId, err: error }, 'a condition of a VM could not be written down');
    });
  }
}

function saysNothingNew(sight: VmSight, given: Partial<VmSight>): boolean {
  const { network, workload, ...seen } = given;
  const keys = Object.keys(seen) as (keyof typeof seen)[];
  const isSameNetwork = network === undefined || network?.join() === sight.network?.join();
  const isSameWorkload =
    workload === undefined || JSON.stringify(workload) === JSON.stringify(sight.workload);
  return isSameNetwork && isSameWorkload && keys.every((key) => seen[key] === sight[key]);
}

/** A hypervisor that is on its way out is nobody's concern. */
function shouldRun({ process, status }: VmRecord): boolean {
  return process !== null && status === 'running';
}

function eventsOf(
  record: VmRecord,
  before: readonly Condition[],
  after: readonly Condition[],
): readonly EventBody[] {
  const { degraded, repaired } = changesIn(before, after);
  return [
    ...degraded.map(({ message }) => vmEvent('VM_DEGRADED', record, message)),
    ...repaired.map(({ type }) =>
      vmEvent('VM_REPAIRED', record, REPAIRED[type as VmConditionType]),
    ),
  ];
}

/** Two lists are one where these are. */
function textOf(conditions: readonly Condition[]): string {
  return conditions
    .map(({ type, status, reason, message }) => `${type} ${status} ${reason} ${message}`)
    .join('\n');
}
