// engine, deployments: the conditions of a deployment: whether it progresses, serves, and has problems. Pure.

import { toTimestamp } from '../../lib/clock.ts';
import type { Condition } from '../../schema/condition.ts';

export interface Situation {
  readonly deleting: boolean;
  /** It was rebuilt from replicas and waits until a client changes it. */
  readonly rebuilt: boolean;
  readonly desired: number;
  readonly maxUnavailable: number;
  readonly existing: number;
  readonly ready: number;
  readonly updated: number;
  /** Crashes within the window, over all replicas. */
  readonly crashes: number;
  /** Why the last create failed; null if it did not. */
  readonly createFailure: string | null;
  /** Why the host has no capacity for the next replicas; null if it has, or if none is needed. */
  readonly noCapacity: string | null;
  /** A rollout is in progress and no replica has become ready for too long. */
  readonly stalled: boolean;
  /** A known problem of a replica that is not ready; null for none. */
  readonly problem: string | null;
  /** The number of unready replicas whose workloads end repeatedly or cannot run. */
  readonly failing: number;
}

const REBUILT =
  'Its record was lost and rebuilt from the replicas that were found. It is not reconciled until it is changed: set the number of replicas, or delete it';

type State = Omit<Condition, 'since'>;

/** The three conditions. `since` is kept if status and reason did not change. */
export function conditionsOf(
  situation: Situation,
  before: readonly Condition[],
  nowMs: number,
): readonly Condition[] {
  return [progressing(situation), available(situation), degraded(situation)].map((state) => {
    const old = before.find((condition) => condition.type === state.type);
    const same = old?.status === state.status && old.reason === state.reason;
    return { ...state, since: same ? old.since : toTimestamp(nowMs) };
  });
}

function progressing(situation: Situation): State {
  const { deleting, desired, existing, ready, updated } = situation;
  const why = becauseOf(situation);
  const say = (status: boolean, reason: string, message: string): State => ({
    type: 'Progressing',
    status,
    reason,
    message,
  });
  if (deleting) return say(true, 'Deleting', `${existing} replicas are left`);
  if (situation.rebuilt) return say(false, 'Rebuilt', REBUILT);
  if (existing !== desired) return say(true, 'Scaling', `${existing} of ${desired} replicas exist`);
  if (updated < existing) {
    return say(
      true,
      'RollingOut',
      `${updated} of ${existing} replicas have the newest config${why}`,
    );
  }
  if (ready < desired)
    return say(true, 'Starting', `${ready} of ${desired} replicas are ready${why}`);
  return say(false, 'Complete', 'All replicas exist and are ready');
}

function becauseOf({ problem }: Situation): string {
  return problem === null ? '' : `. ${problem}`;
}

function available(situation: Situation): State {
  const { deleting, desired, maxUnavailable, ready } = situation;
  const needed = desired === 0 ? 0 : Math.max(1, desired - maxUnavailable);
  const status = !deleting && ready >= needed;
  return {
    type: 'Available',
    status,
    reason: status ? 'EnoughReady' : 'TooFewReady',
    message: `${ready} replicas are ready, ${needed} are needed${becauseOf(situation)}`,
  };
}

function degraded(situation: Situation): State {
  const { crashes, createFailure, noCapacity, deleting, failing, rebuilt, stalled } = situation;
  const why = becauseOf(situation);
  const say = (status: boolean, reason: string, message: string): State => ({
    type: 'Degraded',
    status,
    reason,
    message,
  });
  if (rebuilt && !deleting) return say(true, 'Rebuilt', REBUILT);
  if (noCapacity !== null) return say(true, 'NoRoom', noCapacity);
  if (createFailure !== null) return say(true, 'CreateFailed', createFailure);
  if (stalled) {
    const isFirst = situation.updated === situation.existing;
    const what = isFirst
      ? 'Replicas do not become ready'
      : 'New replicas do not become ready; the old ones are kept';
    const message = `${what}${why}`;
    return say(true, 'RolloutStalled', message);
  }
  if (failing > 0) {
    return say(true, 'WorkloadsFail', `The workloads of ${failing} replicas do not run${why}`);
  }
  if (crashes > 0) return say(true, 'ReplicasCrash', 'Replicas have crashed or ended recently');
  return say(false, 'Healthy', 'No replica has failed recently');
}
