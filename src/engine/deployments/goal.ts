// engine, deployments: whether a deployment has reached the goal that a client waits for. Waiting itself is in
// deployments.ts.

import type { WaitFor } from '../engine-api.ts';
import type { DeploymentRecord } from '../records.ts';
import type { Reconciler } from './reconciler.ts';

/**
 * true if the desired number of replicas exists, all with the newest revision, and all running or ready as the goal
 * asks.
 */
export function isReached(
  record: DeploymentRecord,
  reconciler: Pick<Reconciler, 'members' | 'ready'>,
  goal: Exclude<WaitFor, 'accepted'>,
): boolean {
  const members = reconciler.members();
  const there = members.filter(({ status }) => status === 'running').length;
  const isUpdated = members.every(({ replica }) => replica?.revision === record.revision);
  const count = goal === 'ready' ? reconciler.ready() : there;
  const { desiredReplicas } = record;
  return members.length === desiredReplicas && count === desiredReplicas && isUpdated;
}
