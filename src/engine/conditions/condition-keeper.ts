// engine, conditions: keeps the last observation of each running VM and its conditions. It shows the conditions in the
// VM's body, stores those that must outlive the daemon, and emits an event for each change. vm-conditions.ts computes
// the conditions.

import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { Condition } from '../../schema/condition.ts';
import { vmEvent } from '../events/events.ts';
import type { EventBody, VmRecord } from '../records.ts';
import type { State, VmChange } from '../state/state.ts';
import { changed } from '../vm-record/status.ts';
import {
  changesIn,
  conditionsOf,
  durableOf,
  isResponsive,
  lastObservationOf,
  type VmConditionType,
  type VmObservation,
} from './vm-conditions.ts';

/** Takes about a millisecond when all of them have changed. */
const OBSERVED_PER_TURN = 50;

export interface ConditionKeeperParts {
  readonly state: State;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Kept {
  observation: VmObservation;
  conditions: readonly Condition[];
  /** Monotonic, in ms; null while the VM answers. */
  silentSinceMs: number | null;
  /** The stored conditions are the current ones. */
  isSaved: boolean;
}

/** The message of the event when a condition is fulfilled again. */
const REPAIRED: Readonly<Record<VmConditionType, string>> = {
  Running: 'It is known again that the hypervisor runs',
  ControlConnected: 'The control socket of the hypervisor is connected again',
  HypervisorResponsive: 'The hypervisor answers again',
  AgentResponsive: 'The agent in the guest answers again',
  WorkloadRunning: 'The workload has been running again for a while',
  NetworkInLine: 'The network of the VM is as wanted again',
  DisksWritable: 'The disk of the host has free space again',
};

export class ConditionKeeper {
  readonly #parts: ConditionKeeperParts;
  readonly #kept = new Map<number, Kept>();
  readonly #listeners = new Set<(vmId: number) => void>();

  constructor(parts: ConditionKeeperParts) {
    this.#parts = parts;
  }

  /** Calls the listener when a VM stops answering, or answers again. */
  subscribe(listener: (vmId: number) => void): void {
    this.#listeners.add(listener);
  }

  /**
   * false for a VM that was asked and does not answer, or whose guest is halted. true for a VM that was not asked yet.
   */
  isResponsive(vmId: number): boolean {
    const kept = this.#kept.get(vmId);
    return kept === undefined || isResponsive(kept.observation);
  }

  /** For how many ms the VM has not answered. 0 for a guest that is paused because the host's disk is full. */
  silentForMs(vmId: number): number {
    const kept = this.#kept.get(vmId);
    if (kept === undefined || kept.silentSinceMs === null || kept.observation.isDiskFull) return 0;
    return this.#parts.clock.monotonicMs() - kept.silentSinceMs;
  }

  /** The last observation; undefined if nothing was observed. */
  observationOf(vmId: number): VmObservation | undefined {
    return this.#kept.get(vmId)?.observation;
  }

  /** Records what was observed of a VM. Ignored if no hypervisor of it should run. */
  observe(vmId: number, seen: Partial<VmObservation>): void {
    const { state, clock } = this.#parts;
    const record = state.find(vmId);
    if (record === undefined || !shouldRun(record)) return;
    const kept = this.#keptOf(record);
    if (kept.isSaved && isUnchanged(kept.observation, seen)) return;
    const observation = { ...kept.observation, ...seen };
    const before = kept.conditions;
    const conditions = conditionsOf(observation, before, clock.nowMs());
    const wasResponsive = isResponsive(kept.observation);
    kept.observation = observation;
    kept.silentSinceMs = isResponsive(observation)
      ? null
      : (kept.silentSinceMs ?? clock.monotonicMs());
    const isSame = textOf(conditions) === textOf(before);
    if (!isSame) {
      kept.conditions = conditions;
      state.vms.observe(vmId, conditions);
      kept.isSaved = kept.isSaved && textOf(durableOf(conditions)) === textOf(durableOf(before));
    }
    if (!kept.isSaved) this.#save(vmId, kept);
    if (wasResponsive === isResponsive(observation)) return;
    for (const listener of this.#listeners) listener(vmId);
  }

  /**
   * Records a complete check of the network: the differences by VM. The network of all other VMs is as wanted. Resolves
   * when all are recorded, which takes a turn of the event loop for some of them at a time.
   */
  async observeNetwork(differing: ReadonlyMap<number, readonly string[]>): Promise<void> {
    const { state } = this.#parts;
    for (const [index, { id, process, leases }] of state.vms.active().entries()) {
      if (index % OBSERVED_PER_TURN === 0) await turn();
      if (process === null || leases.tapName === null) continue;
      // What was checked is not the network of a hypervisor that was started since.
      if (state.find(id)?.process?.pid !== process.pid) continue;
      this.observe(id, { network: differing.get(id) ?? [] });
    }
  }

  /** Drops all observations of a VM whose hypervisor has ended. */
  forget(vmId: number): void {
    if (!this.#kept.delete(vmId)) return;
    this.#parts.state.vms.observe(vmId, null);
  }

  /** Drops the observations of VMs that do not run any more. */
  prune(): void {
    for (const vmId of this.#kept.keys()) {
      const record = this.#parts.state.find(vmId);
      if (record === undefined || record.process === null) this.forget(vmId);
    }
  }

  #keptOf(record: VmRecord): Kept {
    const known = this.#kept.get(record.id);
    if (known !== undefined) return known;
    const observation = lastObservationOf(record);
    const kept: Kept = {
      observation,
      conditions: record.conditions ?? [],
      silentSinceMs: isResponsive(observation) ? null : this.#parts.clock.monotonicMs(),
      isSaved: true,
    };
    this.#kept.set(record.id, kept);
    return kept;
  }

  /** Stores the durable conditions. A change during the write is stored by another write after it. */
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
      log.warn({ id: vmId, err: error }, 'a condition of a VM could not be stored');
    });
  }
}

function isUnchanged(observation: VmObservation, given: Partial<VmObservation>): boolean {
  const { network, workload, ...seen } = given;
  const keys = Object.keys(seen) as (keyof typeof seen)[];
  const isSameNetwork = network === undefined || network?.join() === observation.network?.join();
  const isSameWorkload =
    workload === undefined || JSON.stringify(workload) === JSON.stringify(observation.workload);
  return isSameNetwork && isSameWorkload && keys.every((key) => seen[key] === observation[key]);
}

/** Conditions are kept only for a VM that should run, not for one that is stopping. */
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

/** Two lists are equal if these texts are. */
function textOf(conditions: readonly Condition[]): string {
  return conditions
    .map(({ type, status, reason, message }) => `${type} ${status} ${reason} ${message}`)
    .join('\n');
}
