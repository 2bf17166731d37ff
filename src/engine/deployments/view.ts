// engine, deployments: what the API shows of a deployment. No decisions are made here.

import { LIMITS } from '../../config.ts';
import { toTimestamp } from '../../lib/clock.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Condition } from '../../schema/condition.ts';
import type { Deployment } from '../../schema/deployment.ts';
import type { DryRun } from '../engine-api.ts';
import type { DeploymentRecord, VmRecord } from '../records.ts';
import type { State } from '../state.ts';
import { type Present, scalingTo } from './plan.ts';
import { isTaken, type Reconciler, replicaName } from './reconciler.ts';

/** What is out of bounds in a request. */
export function boundsOf(request: {
  readonly replicas?: number;
  readonly max_unavailable?: number;
}): Record<string, string> {
  const details: Record<string, string> = {};
  for (const field of ['replicas', 'max_unavailable'] as const) {
    if ((request[field] ?? 0) > LIMITS.replicasMax) {
      details[field] = `must be at most ${LIMITS.replicasMax}`;
    }
  }
  return details;
}

/** A change from one to the other asks for nothing new. */
export function wantsTheSame(one: DeploymentRecord, other: DeploymentRecord): boolean {
  return (
    one.desiredReplicas === other.desiredReplicas &&
    one.maxUnavailable === other.maxUnavailable &&
    one.revision === other.revision
  );
}

/** A dry run's answer: the deployment as it would be at first, with the replicas that there are. */
export function planOf(actions: DryRun['actions'], deployment: Deployment): DryRun & Deployment {
  return { ...deployment, dry_run: true, actions } as DryRun & Deployment;
}

/** The same of a deployment that is not there yet. */
export function planOfNew(state: State, record: DeploymentRecord): DryRun & Deployment {
  const present = {
    members: [],
    creating: new Set<number>(),
    isTaken: (index: number) => isTaken(state, record.name, index),
  };
  const replicas = { members: [], ready: 0, conditions: [] };
  return planOf(changesTo(record, present), shown(record, replicas));
}

/** What becomes of the replicas that there are, and which are new, when the deployment is changed to this. */
export function changesTo(
  { name, desiredReplicas, revision }: DeploymentRecord,
  present: Present,
): DryRun['actions'] {
  const { surplus, kept, indices } = scalingTo(desiredReplicas, present);
  const replaced = kept.filter((member) => member.phase === 'ended' || member.revision < revision);
  return [
    ...indices.map((index) => ({ action: 'create.vm', subject: replicaName(name, index) })),
    ...surplus.map((member) => ({ action: 'delete.vm', subject: member.name })),
    ...replaced.map((member) => ({ action: 'replace.vm', subject: member.name })),
  ];
}

/** A deployment with its true counts. */
export function viewOf({
  record,
  reconciler,
}: {
  readonly record: DeploymentRecord;
  readonly reconciler: Reconciler;
}): Deployment {
  return shown(record, {
    members: reconciler.members(),
    ready: reconciler.ready(),
    conditions: reconciler.conditions,
  });
}

/** What there is of a deployment beside its record. */
interface Replicas {
  readonly members: readonly VmRecord[];
  readonly ready: number;
  readonly conditions: readonly Condition[];
}

/** A record and its replicas as the API has them. */
function shown(record: DeploymentRecord, { members, ready, conditions }: Replicas): Deployment {
  return {
    name: record.name,
    status: record.status,
    desired_replicas: record.desiredReplicas,
    ready_replicas: ready,
    updated_replicas: members.filter(({ replica }) => replica?.revision === record.revision).length,
    replicas: members.map((member) => member.name),
    revision: record.revision,
    max_unavailable: record.maxUnavailable,
    conditions: [...conditions],
    config: record.config,
    created_at: toTimestamp(record.createdAtMs),
    updated_at: toTimestamp(record.updatedAtMs),
  };
}

/** Why replicas of a deployment that is deleted are left: some could not be, or all of them only need more time. */
export function whyLeft(name: string, reconciler: Reconciler): VolantError {
  const failures = reconciler.deleteFailures;
  const ending = [...failures.values()].find(({ code }) => code === 'SHUTTING_DOWN');
  if (ending !== undefined) return ending;
  const left = reconciler.members();
  const details = Object.fromEntries(
    left.map((vm) => [vm.name, failures.get(vm.name)?.message ?? 'is still being deleted']),
  );
  const why = `${left.length} replicas of deployment ${name} are left; it goes on`;
  return new VolantError(failures.size > 0 ? 'DELETE_INCOMPLETE' : 'WAIT_TIMEOUT', why, {
    details,
  });
}
