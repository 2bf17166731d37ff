// http, mcp: a tool that runs a program of a container image in a VM of its own, as `volar run` does. The VM is deleted when
// the program has ended, unless it is to stay.

import { randomBytes, randomUUID } from 'node:crypto';
import { type Static, Type } from 'typebox';
import { LIMITS } from '../../../../config/limits.ts';
import { toVolantError, VolantError } from '../../../../lib/errors.ts';
import { programOf } from '../../../../lib/formats/image-program.ts';
import { CreateExecSchema } from '../../../../schema/exec.ts';
import { PullImageSchema } from '../../../../schema/image.ts';
import { Int64 } from '../../../../schema/parts.ts';
import { CreateVmSchema } from '../../../../schema/vm.ts';
import { outputOf } from '../outputs.ts';
import { defineTool, INTERRUPTS, type Tool, type ToolContext } from '../tool.ts';
import { BYTES, RunAnswer, runExec } from './exec-tools.ts';

const { argv, env, workdir, user, stdin, timeout_ms } = CreateExecSchema.properties;
const { cpu_cores, memory_mb, deadline_seconds } = CreateVmSchema.properties;
const Words = Type.Array(argv.items, { maxItems: LIMITS.execArgumentsMax });

const RunImageInput = Type.Object({
  image: PullImageSchema.properties.image,
  args: Type.Optional({ ...Words, description: "Arguments, in place of the image's command" }),
  entrypoint: Type.Optional({
    ...Words,
    description: "Program, in place of the image's entrypoint and command",
  }),
  env,
  workdir,
  user,
  stdin,
  timeout_ms,
  cpu_cores,
  memory_mb,
  deadline_seconds,
  name: Type.Optional(Type.String({ description: 'Of the VM; made up when absent' })),
  keep: Type.Optional(Type.Boolean({ description: 'The VM stays after the end of the program' })),
  boot_timeout: Type.Optional(
    Int64({
      maximum: LIMITS.waitTimeoutMaxMs,
      description: `Milliseconds that the pull of the image and the boot may take; ${LIMITS.mcpRunBootMs} when absent`,
    }),
  ),
  wait: Type.Optional(
    Int64({
      maximum: LIMITS.mcpGuestWaitMaxMs,
      description: `Milliseconds to wait for its end; ${LIMITS.mcpExecWaitMs} when absent. A program that has not ended continues, and its VM stays`,
    }),
  ),
  ...BYTES,
});

const RunImageAnswer = Type.Object({
  ...RunAnswer.properties,
  vm_deleted: Type.Boolean({ description: 'false: delete the VM with volant.vms.delete' }),
});

type RunArguments = Static<typeof RunImageInput>;

/** Member of the VM's metadata that says which run it is of. */
const RUN_OF = 'volant.run';

export const RUN_TOOLS: readonly Tool[] = [
  defineTool({
    name: 'volant.images.run',
    scope: 'operate',
    description:
      'Run a program of a container image in a new VM, show its output and exit code, and delete the VM. A program that has not ended after the wait continues in its VM: read its output with volant.vms.exec.output.',
    input: RunImageInput,
    output: outputOf(RunImageAnswer),
    hints: INTERRUPTS,
    run: runImage,
  }),
];

async function runImage(
  context: ToolContext,
  { name, keep = false, ...args }: RunArguments,
): Promise<Static<typeof RunImageAnswer>> {
  // A key for names with a prefix may make no others.
  const vm = name ?? `${context.caller.prefix}run-${randomBytes(4).toString('hex')}`;
  const run = randomUUID();
  let exec: Static<typeof RunAnswer>;
  try {
    await create(context, vm, run, args);
    exec = await execute(context, vm, args);
  } catch (error) {
    await removeLogged(context, vm, run);
    throw error;
  }
  // A client that has gone cannot read the output of what still runs.
  const isDeleted = !keep && (exec.state !== 'running' || context.gone.aborted);
  if (isDeleted) await remove(context, vm, run);
  return { ...exec, vm_deleted: isDeleted };
}

/** A VM that runs no program of its own; `run` is its mark. Resolves when its agent answers. */
async function create(
  { engine, cause }: ToolContext,
  vm: string,
  run: string,
  args: RunArguments,
): Promise<void> {
  const {
    image,
    cpu_cores: cpus,
    memory_mb: memory,
    deadline_seconds: deadline,
    boot_timeout: timeoutMs = LIMITS.mcpRunBootMs,
  } = args;
  const manifest = { name: vm, image, workload: { type: 'none' as const } };
  const request = {
    name: vm,
    ...(cpus === undefined ? {} : { cpu_cores: cpus }),
    ...(memory === undefined ? {} : { memory_mb: memory }),
    ...(deadline === undefined ? {} : { deadline_seconds: deadline }),
    config: { manifest, metadata: { [RUN_OF]: run } },
  };
  const options = { wait: 'ready' as const, timeoutMs };
  await engine.vms.create(request, options, cause);
}

async function execute(
  context: ToolContext,
  vm: string,
  {
    image,
    args = [],
    entrypoint,
    env,
    workdir,
    user,
    stdin,
    timeout_ms,
    wait,
    bytes,
  }: RunArguments,
): Promise<Static<typeof RunAnswer>> {
  const said = await context.engine.images.get(image);
  const program = programOf(said, { args, entrypoint, env, workdir, user });
  if (program === null) {
    const details = { args: 'must name a program, because the image names none' };
    throw new VolantError('BODY_INVALID', 'The arguments are not valid', { details });
  }
  return runExec(context, {
    name: vm,
    ...program,
    ...(stdin === undefined ? {} : { stdin }),
    ...(timeout_ms === undefined ? {} : { timeout_ms }),
    ...(wait === undefined ? {} : { wait }),
    ...(bytes === undefined ? {} : { bytes }),
  });
}

/** Deletes the VM of this run. One of the same name that somebody else has made stays. */
async function remove({ engine, cause }: ToolContext, vm: string, run: string): Promise<void> {
  try {
    const { config } = engine.configs.get(vm);
    if (config.metadata?.[RUN_OF] === run) await engine.vms.destroy(vm, 0, cause);
  } catch (error) {
    if (toVolantError(error).code !== 'VM_NOT_FOUND') throw error;
  }
}

/** The caller gets the error before it. */
async function removeLogged(context: ToolContext, vm: string, run: string): Promise<void> {
  try {
    await remove(context, vm, run);
  } catch (error) {
    context.log.warn({ vm, err: toVolantError(error) }, 'the VM of a run could not be deleted');
  }
}
