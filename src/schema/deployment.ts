// schema: deployments, each a set of identical VMs, and the requests that create and change them.

import { type Static, Type } from 'typebox';
import { LIMITS } from '../config/limits.ts';
import { ConditionSchema } from './condition.ts';
import { DRY_RUN_MEMBERS } from './dry-run.ts';
import { Documented, Int32, Int64, Name, Nullable, OneOf, Timestamp, Warnings } from './parts.ts';
import { OPERATION_CAUSES } from './vm.ts';
import { VmConfigSchema } from './vm-config.ts';

export const DEPLOYMENT_STATUSES = ['active', 'deleting'] as const;

export const DeploymentSchema = Type.Object(
  {
    name: Type.String(),
    status: OneOf(DEPLOYMENT_STATUSES, 'deleting: until the last of its VMs is deleted'),
    desired_replicas: Int32(),
    ready_replicas: Int32({
      description: 'Replicas whose health check passes, or that run without a health check',
    }),
    updated_replicas: Int64({ description: 'Replicas with the newest config' }),
    replicas: Type.Array(Type.String(), { description: 'Names of the existing VMs' }),
    revision: Int64({
      description: 'Number of the current revision, from 1; each change of the config adds 1',
    }),
    max_unavailable: Int64({
      description: 'Maximum number of replicas that a roll-out replaces at once',
    }),
    conditions: Type.Array(ConditionSchema),
    config: VmConfigSchema,
    created_at: Timestamp(),
    updated_at: Timestamp(),
    warnings: Type.Optional(Warnings),
    ...DRY_RUN_MEMBERS,
  },
  { $id: 'Deployment', description: 'A set of identical VMs' },
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

export const DeploymentRevisionSchema = Type.Object(
  {
    revision: Int64({ description: 'Its number, from 1' }),
    current: Type.Boolean({ description: 'true: the desired revision of the replicas' }),
    created_at: Nullable(Timestamp('null: unknown, created by a daemon that kept no revisions')),
    cause: Type.Optional(OneOf(OPERATION_CAUSES, 'Absent if unknown')),
    request_id: Type.Optional(
      Type.String({ description: 'X-Request-Id of the request that asked for it' }),
    ),
    client: Type.Optional(
      Type.String({
        description: 'The client: `key` and the name of its API key, or its address if it has none',
      }),
    ),
    changes: Type.Array(Type.String(), {
      description: 'Paths of the members that differ from the previous revision',
    }),
    restored_from: Type.Optional(
      Int64({ description: 'The revision whose config a rollback restored' }),
    ),
    max_unavailable: Int64({ description: 'Last value while this was the current revision' }),
    config: VmConfigSchema,
  },
  { $id: 'DeploymentRevision', description: 'A config that a deployment has or had' },
);

export type DeploymentRevision = Static<typeof DeploymentRevisionSchema>;

export const RollbackSchema = Type.Object(
  {
    revision: Type.Optional(
      Int64({ minimum: 1, description: 'The revision to restore; the previous one if absent' }),
    ),
  },
  { $id: 'RollbackDeployment' },
);

export type RollbackRequest = Static<typeof RollbackSchema>;
