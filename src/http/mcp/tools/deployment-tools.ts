// http, mcp: tools for deployments.

import { type Static, Type } from 'typebox';
import { LIMITS } from '../../../config/limits.ts';
import {
  CreateDeploymentSchema,
  DeploymentSchema,
  PatchDeploymentSchema,
  RollbackSchema,
} from '../../../schema/deployment.ts';
import { DRY_RUN, NAME, PAGE, WAIT, waitOptionsOf } from './arguments.ts';
import {
  BriefDeploymentSchema,
  BriefRevisionSchema,
  listOf,
  outcomeOf,
  outputOf,
  TOTAL,
} from './outputs.ts';
import { ADDS, CHANGES, defineTool, READS, REMOVES, type Tool, type ToolContext } from './tool.ts';

const CreateInput = Type.Object({ ...CreateDeploymentSchema.properties, ...WAIT, ...DRY_RUN });

const ScaleInput = Type.Object({
  ...NAME,
  ...PatchDeploymentSchema.properties,
  ...WAIT,
  ...DRY_RUN,
});

const RollbackInput = Type.Object({ ...NAME, ...RollbackSchema.properties, ...WAIT, ...DRY_RUN });

export const DEPLOYMENT_TOOLS: readonly Tool[] = [
  defineTool({
    name: 'volant.deployments.list',
    scope: 'read',
    description:
      'List deployments by name, without their configs and replicas, and their total number.',
    input: Type.Object(PAGE),
    output: listOf('deployments', BriefDeploymentSchema, TOTAL),
    hints: READS,
    run: ({ engine }, { limit = LIMITS.mcpPageDefault, offset = 0 }) => {
      const all = engine.deployments.list();
      const page = all.slice(offset, offset + limit);
      return {
        deployments: page.map(({ config, replicas, ...rest }) => rest),
        total: all.length,
      };
    },
  }),
  defineTool({
    name: 'volant.deployments.get',
    scope: 'read',
    description: 'Show one deployment: its replicas, how many are ready, its conditions.',
    input: Type.Object(NAME),
    output: outputOf(DeploymentSchema),
    hints: READS,
    run: ({ engine }, { name }) => engine.deployments.get(name),
  }),
  defineTool({
    name: 'volant.deployments.create',
    scope: 'operate',
    description: 'Create a deployment: a set of identical VMs that is kept running.',
    input: CreateInput,
    output: outputOf(DeploymentSchema),
    hints: ADDS,
    run: create,
  }),
  defineTool({
    name: 'volant.deployments.scale',
    scope: 'operate',
    description:
      'Change the number of replicas of a deployment, or its config, which replaces the replicas one after the other. Fewer replicas means that VMs are deleted.',
    input: ScaleInput,
    output: outputOf(DeploymentSchema),
    hints: { ...CHANGES, destructiveHint: true },
    run: scale,
  }),
  defineTool({
    name: 'volant.deployments.revisions',
    scope: 'read',
    description:
      'List the revisions of a deployment, newest first: when each was made, by which request, and which members of the config it changed.',
    input: Type.Object(NAME),
    output: listOf('revisions', BriefRevisionSchema),
    hints: READS,
    run: ({ engine }, { name }) => ({
      revisions: engine.deployments.revisions(name).map(({ config, ...rest }) => rest),
    }),
  }),
  defineTool({
    name: 'volant.deployments.rollback',
    scope: 'operate',
    description:
      'Roll a deployment back to the config of an earlier revision, by default the previous one. This makes a new revision and replaces the replicas one after the other.',
    input: RollbackInput,
    output: outputOf(DeploymentSchema),
    hints: { ...CHANGES, destructiveHint: true },
    run: rollback,
  }),
  defineTool({
    name: 'volant.deployments.delete',
    scope: 'operate',
    description: 'Delete a deployment and all its VMs. This cannot be undone.',
    input: Type.Object(NAME),
    output: outcomeOf('deleted'),
    hints: REMOVES,
    run: async ({ engine, cause }, { name }) => {
      await engine.deployments.remove(name, cause);
      return { name, deleted: true };
    },
  }),
];

function create({ engine, cause }: ToolContext, args: Static<typeof CreateInput>): object {
  const { wait, timeout, dry_run: isDryRun, ...request } = args;
  if (isDryRun === true) return engine.deployments.planCreate(request);
  return engine.deployments.create(request, waitOptionsOf(args, 'ready'), cause);
}

function scale({ engine, cause }: ToolContext, args: Static<typeof ScaleInput>): object {
  const { name, wait, timeout, dry_run: isDryRun, ...request } = args;
  if (isDryRun === true) return engine.deployments.planPatch(name, request);
  return engine.deployments.patch(name, request, waitOptionsOf(args, 'ready'), cause);
}

function rollback({ engine, cause }: ToolContext, args: Static<typeof RollbackInput>): object {
  const { name, wait, timeout, dry_run: isDryRun, ...request } = args;
  if (isDryRun === true) return engine.deployments.planRollback(name, request);
  return engine.deployments.rollback(name, request, waitOptionsOf(args, 'ready'), cause);
}
