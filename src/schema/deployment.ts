// schema: deployments: a number of replicas of one config, and the requests that make and change them.

import { type Static, Type } from 'typebox';
import { ConditionSchema } from './condition.ts';
import { Name, Nullable } from './parts.ts';
import { VmConfigSchema } from './vm-config.ts';

export const DeploymentSchema = Type.Object(
  {
    name: Type.String(),
    status: Type.String({ description: 'active or deleting' }),
    desired_replicas: Type.Integer(),
    ready_replicas: Type.Integer({
      description: 'Replicas whose health check passes; those that run where there is none',
    }),
    updated_replicas: Type.Integer({ description: 'Replicas of the newest config' }),
    replicas: Type.Array(Type.String(), { description: 'Names of the VMs that exist' }),
    revision: Type.Integer({ description: 'Counts changes of the config, from 1' }),
    max_unavailable: Type.Integer({
      description: 'Replicas that a roll-out may take away at once',
    }),
    conditions: Type.Array(ConditionSchema),
    config: VmConfigSchema,
    created_at: Type.String({ format: 'date-time' }),
    updated_at: Type.String({ format: 'date-time' }),
  },
  { description: 'A number of VMs of one config' },
);

export type Deployment = Static<typeof DeploymentSchema>;

const Replicas = Type.Integer({ minimum: 0 });
const MaxUnavailable = Type.Integer({ minimum: 1 });

export const CreateDeploymentSchema = Type.Object({
  name: Name,
  replicas: Type.Optional(Replicas),
  config: VmConfigSchema,
  max_unavailable: Type.Optional(MaxUnavailable),
});

export type CreateDeploymentRequest = Static<typeof CreateDeploymentSchema>;

export const PatchDeploymentSchema = Type.Object({
  replicas: Type.Optional(Replicas),
  config: Type.Optional(Nullable(VmConfigSchema)),
  max_unavailable: Type.Optional(MaxUnavailable),
});

export type PatchDeploymentRequest = Static<typeof PatchDeploymentSchema>;
