// engine, deployments: from what there is and what there shall be to what is done next. Pure: who calls
// it carries the actions out and calls it again whenever something has changed.

export interface Member {
  readonly vmId: number;
  readonly name: string;
  readonly index: number;
  readonly revision: number;
  /** ended: crashed, stopped, or it does not answer any more. busy: something is being done at its index already. */
  readonly phase: 'alive' | 'ended' | 'busy';
  readonly ready: boolean;
}

/** What there is of a deployment. */
export interface Present {
  readonly members: readonly Member[];
  /** Indices whose create or replacement is under way: there will be a replica. */
  readonly creating: ReadonlySet<number>;
  /** true when a VM that is not ours has the name of this index. */
  readonly isTaken: (index: number) => boolean;
}

export interface PlanInput extends Present {
  readonly desired: number;
  readonly revision: number;
  readonly maxUnavailable: number;
  /** When something may be tried at this index again; 0 is now. */
  readonly dueAtMs: (index: number) => number;
  readonly nowMs: number;
  /** Creates, replacements and deletes that may begin now. */
  readonly room: number;
}

export type Action =
  | { readonly kind: 'create'; readonly index: number }
  | { readonly kind: 'delete'; readonly member: Member }
  /** Delete, then create at the same index. */
  | { readonly kind: 'replace'; readonly member: Member };

export interface Plan {
  readonly actions: readonly Action[];
  /** When to look again although nothing happens; null when there is nothing to wait for. */
  readonly wakeAtMs: number | null;
}

/**
 * The next actions, most urgent first and at most `room`:
 * surplus replicas go, unhealthy ones before healthy ones and then the highest index first; missing
 * ones are made at the lowest free indices; ended ones are replaced when their pause is over; replicas
 * of an older revision are replaced while no more than `maxUnavailable` are not ready.
 */
export function planDeployment(input: PlanInput): Plan {
  const { desired, nowMs } = input;
  const { surplus, kept, indices } = scalingTo(desired, input);
  const due = (index: number) => input.dueAtMs(index) <= nowMs;
  const ended = kept.filter((member) => member.phase === 'ended');
  const actions: Action[] = [
    ...surplus.map((member): Action => ({ kind: 'delete', member })),
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
  return { actions: actions.slice(0, Math.max(0, input.room)), wakeAtMs };
}

/** What another number of replicas means. The one place that decides who goes, for dry runs too. */
export function scalingTo(
  desired: number,
  present: Present,
): {
  readonly surplus: readonly Member[];
  readonly kept: readonly Member[];
  /** Where new ones are made. */
  readonly indices: readonly number[];
} {
  const staying = present.members.filter((member) => member.phase !== 'busy');
  const count = staying.length + present.creating.size;
  const surplus = victims(staying, Math.max(0, count - desired));
  return {
    surplus,
    kept: staying.filter((member) => !surplus.includes(member)),
    indices: freeIndices(present, Math.max(0, desired - count)),
  };
}

/** Who goes first: what is not ready, then the highest index. */
function victims(members: readonly Member[], count: number): readonly Member[] {
  const rank = (member: Member) => (member.phase === 'ended' ? 0 : member.ready ? 2 : 1);
  return [...members].sort((a, b) => rank(a) - rank(b) || b.index - a.index).slice(0, count);
}

function freeIndices(input: Present, count: number): readonly number[] {
  // A replica on its way out holds its name until it is gone.
  const used = new Set(input.members.map((member) => member.index));
  const free: number[] = [];
  for (let index = 1; free.length < count; index += 1) {
    if (!used.has(index) && !input.creating.has(index) && !input.isTaken(index)) free.push(index);
  }
  return free;
}

/** Running replicas of an older revision that may be taken away now. */
function outdated(input: PlanInput, kept: readonly Member[]): readonly Member[] {
  const old = kept.filter((member) => member.phase === 'alive' && member.revision < input.revision);
  const ready = kept.filter((member) => member.ready).length;
  // What is not ready is no loss, but replacing all of it at once could take down a start in progress.
  const allowed = Math.max(0, input.maxUnavailable - Math.max(0, input.desired - ready));
  const notReady = old.filter((member) => !member.ready);
  const readyOnes = old.filter((member) => member.ready).sort((a, b) => a.index - b.index);
  return [...notReady.slice(0, input.maxUnavailable), ...readyOnes.slice(0, allowed)];
}
