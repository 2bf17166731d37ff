// http, mcp: tools that wait for a state of a VM or a deployment, so that a language model need not poll.

import { type Static, Type } from 'typebox';
import { LIMITS } from '../../../config/limits.ts';
import { VolantError } from '../../../lib/errors.ts';
import { type Deployment, DeploymentSchema } from '../../../schema/deployment.ts';
import { OneOf } from '../../../schema/parts.ts';
import { VM_STATUSES, type Vm, VmSchema } from '../../../schema/vm.ts';
import { until } from '../../streams/until.ts';
import { NAME, WAIT } from './arguments.ts';
import { outputOf } from './outputs.ts';
import { defineTool, READS, type Tool, type ToolContext } from './tool.ts';

const { timeout } = WAIT;

const VmInput = Type.Object({
  ...NAME,
  status: Type.Optional(OneOf(VM_STATUSES, 'running when absent')),
  timeout,
});

const DeploymentInput = Type.Object({ ...NAME, timeout });

export const WAIT_TOOLS: readonly Tool[] = [
  defineTool({
    name: 'volant.vms.wait',
    scope: 'read',
    description:
      'Wait until a VM has a status, and show it then. WAIT_TIMEOUT if it does not get there in time, VM_STATE_CONFLICT if it crashes.',
    input: VmInput,
    output: outputOf(VmSchema),
    hints: READS,
    run: waitForVm,
  }),
  defineTool({
    name: 'volant.deployments.wait',
    scope: 'read',
    description:
      'Wait until a roll-out is complete: every replica exists, is ready, and has the newest config. WAIT_TIMEOUT with the counts if it is not complete in time.',
    input: DeploymentInput,
    output: outputOf(DeploymentSchema),
    hints: READS,
    run: waitForDeployment,
  }),
];

async function waitForVm(
  { engine, ending }: ToolContext,
  {
    name,
    status: wanted = 'running',
    timeout: timeoutMs = LIMITS.waitTimeoutMs,
  }: Static<typeof VmInput>,
): Promise<Vm> {
  const look = (): Vm => {
    const body = engine.vms.get(name);
    if (body === undefined) throw new VolantError('VM_NOT_FOUND', `There is no VM named ${name}`);
    return JSON.parse(body) as Vm;
  };
  const isSo = () => {
    const { status, status_reason: reason } = look();
    if (status !== 'crashed' || wanted === 'crashed') return status === wanted;
    const why = `VM ${name} has crashed${reason === undefined ? '' : `: ${reason}`}`;
    throw new VolantError('VM_STATE_CONFLICT', why);
  };
  if (await until(engine.events, isSo, { timeoutMs, signal: ending })) return look();
  const { status } = look();
  throw new VolantError('WAIT_TIMEOUT', `VM ${name} is ${status} after ${timeoutMs} ms`);
}

async function waitForDeployment(
  { engine, ending }: ToolContext,
  { name, timeout: timeoutMs = LIMITS.waitTimeoutMs }: Static<typeof DeploymentInput>,
): Promise<Deployment> {
  const look = () => engine.deployments.get(name);
  if (await until(engine.events, () => isOver(look()), { timeoutMs, signal: ending })) {
    return look();
  }
  const { desired_replicas, ready_replicas, updated_replicas, replicas } = look();
  const counts = `${replicas.length} replicas, ${ready_replicas} ready and ${updated_replicas} of the newest config`;
  const why = `Deployment ${name} has ${counts} after ${timeoutMs} ms; ${desired_replicas} are wanted`;
  throw new VolantError('WAIT_TIMEOUT', why);
}

function isOver({
  status,
  desired_replicas: wanted,
  ready_replicas,
  updated_replicas,
  replicas,
}: Deployment): boolean {
  const counts = [replicas.length, ready_replicas, updated_replicas];
  return status === 'active' && counts.every((count) => count === wanted);
}
