// schema, operations: deployments.

import { Type } from 'typebox';
import { LIMITS } from '../../config.ts';
import { CreateDeploymentSchema, DeploymentSchema, PatchDeploymentSchema } from '../deployment.ts';
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
    description: 'Answers when the replicas are ready, at the latest after 25 s, with the counts.',
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
      'Another number of replicas, or another config, which replaces them one after the other.',
    query: [...WAIT, DRY_RUN],
    request: { schema: PatchDeploymentSchema, bytesMax: LIMITS.manifestBytesMax },
    answers: {
      200: { description: 'Deployment scaled', schema: DeploymentSchema },
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
