// engine, deployments: what is said of a deployment beside its numbers: is it on its way, does it serve,
// what is wrong. Pure.

import { toTimestamp } from '../../lib/clock.ts';
import type { Condition } from '../../schema/condition.ts';

export interface Situation {
  readonly deleting: boolean;
  /** It was made from replicas that were found, and waits for a client to say what it shall be. */
  readonly rebuilt: boolean;
  readonly desired: number;
  readonly maxUnavailable: number;
  readonly existing: number;
  readonly ready: number;
  readonly updated: number;
  /** Crashes in the window, over all replicas. */
  readonly crashes: number;
  /** Why the last create failed; null when the last one did not. */
  readonly createFailure: string | null;
  /** Why the host has no room for what should be made; null where there is, or nothing is to be made. */
  readonly noRoom: string | null;
  /** A roll-out goes on and nothing has become ready for too long. */
  readonly stalled: boolean;
  /** What is known to be wrong with one of those that are not ready; null: nothing. */
  readonly trouble: string | null;
  /** Of those that are not ready: workloads that end again and again, or can never run. */
  readonly failing: number;
}

const REBUILT =
  'Its records were lost, and it was rebuilt from the replicas that were found. Nothing is done for it until it is changed: say how many replicas it shall have, or delete it';

type State = Omit<Condition, 'since'>;

/** The three conditions; `since` is kept where status and reason are as before. */
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
  return say(false, 'Complete', 'All replicas are there and ready');
}

function becauseOf({ trouble }: Situation): string {
  return trouble === null ? '' : `. ${trouble}`;
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
  const { crashes, createFailure, noRoom, deleting, failing, rebuilt, stalled } = situation;
  const why = becauseOf(situation);
  const say = (status: boolean, reason: string, message: string): State => ({
    type: 'Degraded',
    status,
    reason,
    message,
  });
  if (rebuilt && !deleting) return say(true, 'Rebuilt', REBUILT);
  if (noRoom !== null) return say(true, 'NoRoom', noRoom);
  if (createFailure !== null) return say(true, 'CreateFailed', createFailure);
  if (stalled) {
    const message = `New replicas do not become ready; the old ones are kept${why}`;
    return say(true, 'RolloutStalled', message);
  }
  if (failing > 0) {
    return say(true, 'WorkloadsFail', `The workloads of ${failing} replicas do not run${why}`);
  }
  if (crashes > 0) return say(true, 'ReplicasCrash', 'Replicas have crashed lately');
  return say(false, 'Healthy', 'No replica has failed lately');
}
