// engine, deployments: what the API shows of a deployment. Nothing is decided here.

import { toTimestamp } from '../../lib/clock.ts';
import { VolantError } from '../../lib/errors.ts';
import type { Condition } from '../../schema/condition.ts';
import type { Deployment } from '../../schema/deployment.ts';
import type { DryRun } from '../engine-api.ts';
import type { DeploymentRecord, VmRecord } from '../records.ts';
import type { State } from '../state/state.ts';
import { type Present, scalingTo } from './plan.ts';
import type { Reconciler } from './reconciler.ts';
import { isTaken, replicaName } from './replicas.ts';

/** The result of a dry run: the actions, and the deployment before any of them. */
export function planOf(actions: DryRun['actions'], deployment: Deployment): DryRun & Deployment {
  return { ...deployment, dry_run: true, actions } as DryRun & Deployment;
}

/** The same for a deployment that does not exist yet. */
export function planOfNew(state: State, record: DeploymentRecord): DryRun & Deployment {
  const present = {
    members: [],
    creating: new Set<number>(),
    isTaken: (index: number) => isTaken(state, record.name, index),
  };
  const replicas = { members: [], ready: 0, conditions: [] };
  return planOf(changesTo(record, present), shown(record, replicas));
}

/** The actions on replicas that a change to this record causes. */
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

/** A deployment with its current counts. */
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

/** The state of a deployment beside its record. */
interface Replicas {
  readonly members: readonly VmRecord[];
  readonly ready: number;
  readonly conditions: readonly Condition[];
}

/** A record and its replicas as the API shows them. */
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

/** The error for a name without a deployment. */
export function notFound(name: string): VolantError {
  return new VolantError('DEPLOYMENT_NOT_FOUND', `There is no deployment named ${name}`);
}

/** The error for replicas that are left after a delete: some failed, or they only need more time. */
export function whyLeft(name: string, reconciler: Reconciler): VolantError {
  const failures = reconciler.deleteFailures;
  const ending = [...failures.values()].find(({ code }) => code === 'SHUTTING_DOWN');
  if (ending !== undefined) return ending;
  const left = reconciler.members();
  const details = Object.fromEntries(
    left.map((vm) => [vm.name, failures.get(vm.name)?.message ?? 'is still being deleted']),
  );
  const why = `${left.length} replicas of deployment ${name} are left; the operation continues`;
  return new VolantError(failures.size > 0 ? 'DELETE_INCOMPLETE' : 'WAIT_TIMEOUT', why, {
    details,
  });
}
