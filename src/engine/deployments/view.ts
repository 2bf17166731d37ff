// engine, deployments: what the API shows of a deployment. No decisions are made here.

import { LIMITS } from '../../config.ts';
import { toTimestamp } from '../../lib/clock.ts';
import type { Deployment } from '../../schema/deployment.ts';
import type { DryRun } from '../engine-api.ts';
import type { DeploymentRecord, VmRecord } from '../records.ts';
import type { State } from '../state.ts';
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
  state: State,
  { name, desiredReplicas }: DeploymentRecord,
  members: readonly VmRecord[],
  rolls: boolean,
): DryRun['actions'] {
  const missing = Math.max(0, desiredReplicas - members.length);
  const surplus = Math.max(0, members.length - desiredReplicas);
  const byIndex = [...members].sort((a, b) => (b.replica?.index ?? 0) - (a.replica?.index ?? 0));
  const kept = rolls ? byIndex.slice(surplus) : [];
  return [
    ...freeNames(state, name, missing).map((subject) => ({ action: 'create.vm', subject })),
    ...byIndex.slice(0, surplus).map((vm) => ({ action: 'delete.vm', subject: vm.name })),
    ...kept.map((vm) => ({ action: 'replace.vm', subject: vm.name })),
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

/** The names that so many new replicas would get. */
export function freeNames(state: State, deployment: string, count: number): readonly string[] {
  const names: string[] = [];
  for (let index = 1; names.length < count; index += 1) {
    const name = replicaName(deployment, index);
    if (state.vms.body(name) === undefined) names.push(name);
  }
  return names;
}
