// engine, deployments: makes a record from a request: checks the request and completes it. Nothing is stored, and
// existing replicas are not known here.

import { LIMITS } from '../../config/limits.ts';
import type { Clock } from '../../lib/clock.ts';
import { VolantError } from '../../lib/errors.ts';
import type { CreateDeploymentRequest, PatchDeploymentRequest } from '../../schema/deployment.ts';
import { isSameConfig } from '../configs/config-merge.ts';
import { type Plugins, requestProblems } from '../plugins/plugins.ts';
import type { DeploymentRecord } from '../records.ts';
import type { Admission } from '../vms/admission.ts';
import { replicaConfig, requireReplicas } from './replica-config.ts';

/** A requested change. `restoredFrom` is the revision that a rollback restores. */
export interface Asked {
  readonly request: PatchDeploymentRequest;
  readonly restoredFrom?: number;
}

export interface DraftParts {
  readonly admission: Admission;
  readonly plugins: Plugins;
  readonly clock: Clock;
}

/** Throws BODY_INVALID for a request that no deployment could satisfy. */
export function checkCreate(request: CreateDeploymentRequest): void {
  const details = draftProblems(request);
  if (request.name.length > LIMITS.deploymentNameCharactersMax) {
    details['name'] = `must have at most ${LIMITS.deploymentNameCharactersMax} characters`;
  }
  refuse(details);
}

/** The record of a new deployment. Throws PORT_TAKEN, and everything that a VM can be refused for. */
export function newRecord(parts: DraftParts, request: CreateDeploymentRequest): DeploymentRecord {
  const { name, replicas = 0 } = request;
  const nowMs = parts.clock.nowMs();
  return {
    name,
    status: 'active',
    desiredReplicas: replicas,
    maxUnavailable: request.max_unavailable ?? 1,
    config: replicaConfig(parts, request.config, name, replicas),
    revision: 1,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
  };
}

/**
 * The record after a change; a changed config is a new revision. Throws BODY_INVALID, DEPLOYMENT_DELETING, and what
 * `newRecord` throws.
 */
export function changedRecord(
  parts: DraftParts,
  record: DeploymentRecord,
  request: PatchDeploymentRequest,
): DeploymentRecord {
  if (record.status === 'deleting') {
    throw new VolantError('DEPLOYMENT_DELETING', `Deployment ${record.name} is being deleted`);
  }
  const { replicas, config, max_unavailable } = request;
  const details = draftProblems(request);
  if (replicas === undefined && !config && max_unavailable === undefined) {
    details['replicas'] = 'is required, or config, or max_unavailable';
  }
  refuse(details);
  const { isRebuilt: _, ...known } = record;
  const desiredReplicas = replicas ?? record.desiredReplicas;
  if (!config && replicas !== undefined) requireReplicas(parts, record, replicas);
  const wanted = config
    ? replicaConfig(parts, config, record.name, desiredReplicas)
    : record.config;
  return {
    ...known,
    desiredReplicas,
    maxUnavailable: max_unavailable ?? record.maxUnavailable,
    config: wanted,
    revision: record.revision + (isSameConfig(wanted, record.config) ? 0 : 1),
    updatedAtMs: parts.clock.nowMs(),
  };
}

/**
 * Whether a change from one record to the other would change nothing. Any change of a rebuilt deployment counts,
 * because it ends the wait.
 */
export function wantsTheSame(one: DeploymentRecord, other: DeploymentRecord): boolean {
  return (
    one.desiredReplicas === other.desiredReplicas &&
    one.maxUnavailable === other.maxUnavailable &&
    one.revision === other.revision &&
    one.isRebuilt === other.isRebuilt
  );
}

/** The problems of a request that need no other state, including those of its config. */
export function draftProblems(request: PatchDeploymentRequest): Record<string, string> {
  const details: Record<string, string> = {};
  for (const field of ['replicas', 'max_unavailable'] as const) {
    if ((request[field] ?? 0) > LIMITS.replicasMax) {
      details[field] = `must be at most ${LIMITS.replicasMax}`;
    }
  }
  const { config } = request;
  return { ...details, ...(config ? requestProblems({ name: 'replica', config }) : {}) };
}

function refuse(details: Readonly<Record<string, string>>): void {
  if (Object.keys(details).length === 0) return;
  throw new VolantError('BODY_INVALID', undefined, { details });
}
