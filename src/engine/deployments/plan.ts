// engine, deployments: the plan: from the existing and the desired replicas to the next actions. Pure. The reconciler
// carries the actions out and plans again whenever something has changed.

export interface Member {
  readonly vmId: number;
  readonly name: string;
  readonly index: number;
  readonly revision: number;
  /**
   * ended: crashed, stopped, or it does not answer any more. busy: an action at its index is in progress. stuck: it could not
   * be deleted, and is left alone until that is tried again.
   */
  readonly phase: 'alive' | 'ended' | 'busy' | 'stuck';
  readonly ready: boolean;
}

/** The existing replicas of a deployment. */
export interface Present {
  readonly members: readonly Member[];
  /** Indices with a create or replacement in progress; they will have a replica. */
  readonly creating: ReadonlySet<number>;
  /** Whether a VM outside of the deployment has the name of this index. */
  readonly isTaken: (index: number) => boolean;
}

export interface PlanInput extends Present {
  readonly desired: number;
  readonly revision: number;
  readonly maxUnavailable: number;
  /** When an action at this index may be tried again; 0 means now. */
  readonly dueAtMs: (index: number) => number;
  readonly nowMs: number;
  /** The number of actions that may begin now. */
  readonly actionsMax: number;
}

export type Action =
  | { readonly kind: 'create'; readonly index: number }
  | { readonly kind: 'delete'; readonly member: Member }
  /** Delete, then create at the same index. */
  | { readonly kind: 'replace'; readonly member: Member };

export interface Plan {
  readonly actions: readonly Action[];
  /** When to plan again if nothing happens before; null if there is nothing to wait for. */
  readonly wakeAtMs: number | null;
}

/**
 * The next actions, most urgent first, at most `actionsMax` of them. Surplus replicas are deleted: ended ones first, then
 * unready ones, then by the highest index. Missing replicas are created at the lowest free indices. Ended ones are
 * replaced after their pause. Replicas of an older revision are replaced as long as at most `maxUnavailable` are not
 * ready.
 */
export function planDeployment(input: PlanInput): Plan {
  const { desired, nowMs } = input;
  const { surplus, kept, indices } = scalingTo(desired, input);
  const due = (index: number) => input.dueAtMs(index) <= nowMs;
  const ended = kept.filter((member) => member.phase === 'ended');
  const actions: Action[] = [
    ...surplus
      .filter(({ phase }) => phase !== 'stuck')
      .map((member): Action => ({ kind: 'delete', member })),
    ...indices.filter(due).map((index): Action => ({ kind: 'create', index })),
    ...ended
      .filter((member) => due(member.index))
      .map((member): Action => ({ kind: 'replace', member })),
    ...outdated(input, kept).map((member): Action => ({ kind: 'replace', member })),
  ];
  const waiting = [...indices, ...ended.map((member) => member.index)].filter(
    (index) => !due(index),
  );
  const wakeAtMs = waiting.length === 0 ? null : Math.min(...waiting.map(input.dueAtMs));
  return { actions: actions.slice(0, Math.max(0, input.actionsMax)), wakeAtMs };
}

/** What a desired number of replicas means for the existing ones. Dry runs use it as well. */
export function scalingTo(
  desired: number,
  present: Present,
): {
  readonly surplus: readonly Member[];
  readonly kept: readonly Member[];
  /** The indices of new replicas. */
  readonly indices: readonly number[];
} {
  const staying = present.members.filter((member) => member.phase !== 'busy');
  const count = staying.length + present.creating.size;
  const surplus = replicasToDelete(staying, Math.max(0, count - desired));
  return {
    surplus,
    kept: staying.filter((member) => !surplus.includes(member)),
    indices: freeIndices(present, Math.max(0, desired - count)),
  };
}

/** The replicas to delete first: those that must go already, then ended, then unready, then by the highest index. */
function replicasToDelete(members: readonly Member[], count: number): readonly Member[] {
  const phases = ['stuck', 'ended'];
  const rank = ({ phase, ready }: Member) =>
    phases.includes(phase) ? phases.indexOf(phase) : phases.length + Number(ready);
  return [...members].sort((a, b) => rank(a) - rank(b) || b.index - a.index).slice(0, count);
}

function freeIndices(input: Present, count: number): readonly number[] {
  // A replica that is being deleted holds its name until it is gone.
  const used = new Set(input.members.map((member) => member.index));
  const free: number[] = [];
  for (let index = 1; free.length < count; index += 1) {
    if (!used.has(index) && !input.creating.has(index) && !input.isTaken(index)) free.push(index);
  }
  return free;
}

/** Running replicas of an older revision that may be replaced now. */
function outdated(input: PlanInput, kept: readonly Member[]): readonly Member[] {
  const old = kept.filter((member) => member.phase === 'alive' && member.revision < input.revision);
  const ready = kept.filter((member) => member.ready).length;
  // An unready replica does not serve, but replacing all of them at once could interrupt those that are starting.
  const allowed = Math.max(0, input.maxUnavailable - Math.max(0, input.desired - ready));
  const notReady = old.filter((member) => !member.ready);
  const readyOnes = old.filter((member) => member.ready).sort((a, b) => a.index - b.index);
  const beside = Math.max(0, input.maxUnavailable - input.creating.size);
  return [...notReady.slice(0, beside), ...readyOnes.slice(0, allowed)];
}
