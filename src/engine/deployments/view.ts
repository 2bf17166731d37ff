// engine, deployments: what the API shows of a deployment. No decisions are made here.

import { LIMITS } from '../../config.ts';
import { toTimestamp } from '../../lib/clock.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Deployment } from '../../schema/deployment.ts';
import type { DryRun } from '../engine-api.ts';
import type { DeploymentRecord } from '../records.ts';
import { type Present, scalingTo } from './plan.ts';
import { type Reconciler, replicaName } from './reconciler.ts';

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

/** A dry run's answer. */
export function planOf(actions: DryRun['actions'], record: DeploymentRecord): DryRun {
  return {
    dry_run: true,
    actions,
    desired_replicas: record.desiredReplicas,
    revision: record.revision,
    config: record.config,
  };
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
  const members = reconciler.members();
  return {
    name: record.name,
    status: record.status,
    desired_replicas: record.desiredReplicas,
    ready_replicas: reconciler.ready(),
    updated_replicas: members.filter(({ replica }) => replica?.revision === record.revision).length,
    replicas: members.map((member) => member.name),
    revision: record.revision,
    max_unavailable: record.maxUnavailable,
    conditions: [...reconciler.conditions],
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
