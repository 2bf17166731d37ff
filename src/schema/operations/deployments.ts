// schema, operations: deployments.

import { Type } from 'typebox';
import { LIMITS } from '../../config/limits.ts';
import {
  CreateDeploymentSchema,
  DeploymentRevisionSchema,
  DeploymentSchema,
  PatchDeploymentSchema,
  RollbackSchema,
} from '../deployment.ts';
import { DRY_RUN, errors, type Operation, WAIT } from './operation.ts';

export const DEPLOYMENT_OPERATIONS = {
  listDeployments: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/deployments',
    tags: ['deployment'],
    summary: 'List deployments',
    answers: {
      200: { description: 'Array of deployments', schema: Type.Array(DeploymentSchema) },
      ...errors(500),
    },
  },
  createDeployment: {
    scope: 'operate',
    method: 'POST',
    path: '/api/v1/deployments',
    tags: ['deployment'],
    summary: 'Create deployment',
    description: 'Answers with the counts when the replicas are ready, or after 25 s.',
    query: [...WAIT, DRY_RUN],
    request: { schema: CreateDeploymentSchema, bytesMax: LIMITS.manifestBytesMax },
    answers: {
      200: { description: 'Deployment as it would be (dry_run=true)', schema: DeploymentSchema },
      201: { description: 'Deployment created', schema: DeploymentSchema },
      ...errors(400, 404, 408, 409, 413, 500, 503),
    },
  },
  getDeployment: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/deployments/{name}',
    tags: ['deployment'],
    summary: 'Get deployment',
    answers: {
      200: { description: 'Deployment details', schema: DeploymentSchema },
      ...errors(404, 500),
    },
  },
  scaleDeployment: {
    scope: 'operate',
    method: 'PATCH',
    path: '/api/v1/deployments/{name}',
    tags: ['deployment'],
    summary: 'Scale deployment',
    description:
      'Changes the number of replicas, or the config, which replaces the replicas one after the other.',
    query: [...WAIT, DRY_RUN],
    request: { schema: PatchDeploymentSchema, bytesMax: LIMITS.manifestBytesMax },
    answers: {
      200: { description: 'Deployment scaled', schema: DeploymentSchema },
      ...errors(400, 404, 408, 409, 413, 500, 503),
    },
  },
  listDeploymentRevisions: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/deployments/{name}/revisions',
    tags: ['deployment'],
    summary: 'List the revisions of a deployment',
    description: `Newest first, including the current one; the last ${LIMITS.deploymentRevisionsMax} are kept.`,
    answers: {
      200: {
        description: 'Array of revisions',
        schema: Type.Array(DeploymentRevisionSchema),
      },
      ...errors(404, 500),
    },
  },
  rollbackDeployment: {
    scope: 'operate',
    method: 'POST',
    path: '/api/v1/deployments/{name}/rollback',
    tags: ['deployment'],
    summary: 'Roll a deployment back',
    description:
      'Restores the config and max_unavailable of an earlier revision as a new revision, which replaces the replicas like any change. The number of replicas stays.',
    query: [...WAIT, DRY_RUN],
    request: { schema: RollbackSchema, bytesMax: LIMITS.bodyBytesMax },
    answers: {
      200: { description: 'Deployment rolled back', schema: DeploymentSchema },
      ...errors(400, 404, 408, 409, 413, 500, 503),
    },
  },
  deleteDeployment: {
    scope: 'operate',
    method: 'DELETE',
    path: '/api/v1/deployments/{name}',
    tags: ['deployment'],
    summary: 'Delete deployment',
    answers: { 204: { description: 'Deleted' }, ...errors(404, 408, 500, 503) },
  },
} as const satisfies Record<string, Operation>;
