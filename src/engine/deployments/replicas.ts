// engine, deployments: what the records and conditions say of the replicas of a deployment, and which of their ends were counted.

import { unreadyReason } from '../guests/workload-view.ts';
import type { VmRecord } from '../records.ts';
import type { State } from '../state/state.ts';
import { hasEndedByItself } from '../vm-record/status.ts';
import type { Backoff } from './backoff.ts';
import type { Member } from './plan.ts';

export function replicaName(deployment: string, index: number): string {
  return `${deployment}-${index}`;
}

/** Whether a VM outside of the deployment has the name of this index. */
export function isTaken(state: State, deployment: string, index: number): boolean {
  const owner = state.vms.recordByName(replicaName(deployment, index));
  return owner !== undefined && owner.replica?.deployment !== deployment;
}

/** The known problems of replicas that are not ready. */
export function problemOf(state: State, members: readonly Member[]) {
  const unready = members.filter(({ ready }) => !ready);
  const sentences = unready.flatMap(({ vmId, name }) => {
    const why = unreadyReason(state.vms.workloadOf(vmId));
    return why === null ? [] : [`${name}: ${why}`];
  });
  const failing = unready.filter(({ vmId }) => {
    const seen = state.vms.conditionsOf(vmId).find(({ type }) => type === 'WorkloadRunning');
    return seen?.status === false && seen.reason !== 'Ended';
  });
  return { problem: sentences[0] ?? null, failing: failing.length };
}

/** Counts the ends of replicas that nobody asked for. Each delays the next launch at its index. */
export class ReplicaCrashes {
  readonly #backoff: Backoff<number>;
  /** Ends that were counted: by VM id, the launch and what ended it. */
  readonly #counted = new Map<number, string>();

  constructor(backoff: Backoff<number>) {
    this.#backoff = backoff;
  }

  /** Each end counts once per launch. A replica that does not answer any more counts as one end, however many rounds see it. */
  count(record: VmRecord, isLost: boolean, nowMs: number): void {
    if (!hasEndedByItself(record) && !isLost) return;
    const endKey = `${record.observed.launch} ${isLost ? 'lost' : record.status}`;
    if (this.#counted.get(record.id) === endKey) return;
    this.#counted.set(record.id, endKey);
    this.#backoff.failed(record.replica?.index ?? 0, nowMs);
  }

  /** Forgets the ends of all other VMs; their pauses last. */
  keep(vmIds: ReadonlySet<number>): void {
    for (const id of this.#counted.keys()) if (!vmIds.has(id)) this.#counted.delete(id);
  }
}
