// schema: deployments: a number of replicas of one config, and the requests that make and change them.

import { type Static, Type } from 'typebox';
import { LIMITS } from '../config.ts';
import { ConditionSchema } from './condition.ts';
import { DRY_RUN_MEMBERS } from './dry-run.ts';
import { Documented, Int32, Int64, Name, Nullable, OneOf, Timestamp, Warnings } from './parts.ts';
import { VmConfigSchema } from './vm-config.ts';

export const DEPLOYMENT_STATUSES = ['active', 'deleting'] as const;

export const DeploymentSchema = Type.Object(
  {
    name: Type.String(),
    status: OneOf(DEPLOYMENT_STATUSES, 'deleting: until the last of its VMs is gone'),
    desired_replicas: Int32(),
    ready_replicas: Int32({
      description: 'Replicas whose health check passes; those that run where there is none',
    }),
    updated_replicas: Int64({ description: 'Replicas of the newest config' }),
    replicas: Type.Array(Type.String(), { description: 'Names of the VMs that exist' }),
    revision: Int64({ description: 'Counts changes of the config, from 1' }),
    max_unavailable: Int64({
      description: 'Replicas that a roll-out may take away at once',
    }),
    conditions: Type.Array(ConditionSchema),
    config: VmConfigSchema,
    created_at: Timestamp(),
    updated_at: Timestamp(),
    warnings: Type.Optional(Warnings),
    ...DRY_RUN_MEMBERS,
  },
  { $id: 'Deployment', description: 'A number of VMs of one config' },
);

export type Deployment = Static<typeof DeploymentSchema>;

const Replicas = Documented(Int32(), { maximum: LIMITS.replicasMax });
const MaxUnavailable = Documented(Int64({ minimum: 1 }), { maximum: LIMITS.replicasMax });

export const CreateDeploymentSchema = Type.Object(
  {
    name: Name,
    replicas: Type.Optional(Replicas),
    config: VmConfigSchema,
    max_unavailable: Type.Optional(MaxUnavailable),
  },
  { $id: 'CreateDeployment' },
);

export type CreateDeploymentRequest = Static<typeof CreateDeploymentSchema>;

export const PatchDeploymentSchema = Type.Object(
  {
    replicas: Type.Optional(Replicas),
    config: Type.Optional(Nullable(VmConfigSchema)),
    max_unavailable: Type.Optional(MaxUnavailable),
  },
  { $id: 'PatchDeployment' },
);

export type PatchDeploymentRequest = Static<typeof PatchDeploymentSchema>;
