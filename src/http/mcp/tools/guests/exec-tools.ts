// http, mcp: tools that run programs in VMs. Each answer is complete and bounded; output is read in pages, by offset.

import { type Static, Type } from 'typebox';
import { LIMITS } from '../../../../config/limits.ts';
import { VolantError } from '../../../../lib/errors.ts';
import {
  CreateExecSchema,
  ExecInputSchema,
  ExecSchema,
  signalNumber,
} from '../../../../schema/exec.ts';
import { EXEC_STREAMS } from '../../../../schema/operations/execs.ts';
import { Int64, OneOf } from '../../../../schema/parts.ts';
import { readOutput, waitForEnd, writeInput } from '../../../guests/execs/exec-output.ts';
import { NAME } from '../arguments.ts';
import { listOf, outputOf } from '../outputs.ts';
import { ADDS, defineTool, INTERRUPTS, READS, type Tool, type ToolContext } from '../tool.ts';

const { argv, command, env, workdir, user, stdin, stdin_open, timeout_ms } =
  CreateExecSchema.properties;

const VM_NAME = { name: Type.String({ description: 'Name of the VM' }) };

const ONE = { ...VM_NAME, id: Type.String({ description: 'Of the exec' }) };

export const BYTES = {
  bytes: Type.Optional(
    Int64({
      minimum: 1,
      maximum: LIMITS.mcpAnswerBytesMax / 4,
      description: `Maximum number of bytes of output, of each stream; ${LIMITS.mcpExecBytes} when absent`,
    }),
  ),
};

const RunInput = Type.Object({
  ...VM_NAME,
  argv,
  command,
  env,
  workdir,
  user,
  stdin,
  stdin_open,
  timeout_ms,
  wait: Type.Optional(
    Int64({
      maximum: LIMITS.mcpGuestWaitMaxMs,
      description: `Milliseconds to wait for its end; ${LIMITS.mcpExecWaitMs} when absent. The program continues after them`,
    }),
  ),
  ...BYTES,
});

/** An exec with the first bytes of its output. */
export const RunAnswer = Type.Object({
  ...ExecSchema.properties,
  stdout: Type.String({ description: 'From its first kept byte on' }),
  stdout_next: Int64({ description: 'Offset for volant.vms.exec.output' }),
  stderr: Type.String({ description: 'Likewise' }),
  stderr_next: Int64({ description: 'Likewise' }),
  more: Type.Boolean({ description: 'There is more output, or will be: read it by its offset' }),
});

const OutputInput = Type.Object({
  ...ONE,
  stream: Type.Optional(OneOf(EXEC_STREAMS, 'stdout when absent')),
  offset: Type.Optional(Int64({ description: 'Number of the first byte; 0 when absent' })),
  wait: Type.Optional(
    Int64({
      maximum: LIMITS.mcpGuestWaitMaxMs,
      description: 'Milliseconds to wait for output if there is none yet',
    }),
  ),
  ...BYTES,
});

const OutputAnswer = Type.Object({
  output: Type.String({ description: 'Bytes that are not UTF-8 are replaced' }),
  offset: Int64({ description: 'Of the first byte; larger than asked for if older ones are gone' }),
  next: Int64({ description: 'Offset for the next call' }),
  end: Type.Boolean({ description: 'The program has ended, and nothing follows' }),
});

export const EXEC_TOOLS: readonly Tool[] = [
  defineTool({
    name: 'volant.vms.exec',
    scope: 'operate',
    description:
      'Run a program in a VM and show its output and exit code. A program that has not ended after the wait continues: read its output with volant.vms.exec.output.',
    input: RunInput,
    output: outputOf(RunAnswer),
    hints: INTERRUPTS,
    run: runExec,
  }),
  defineTool({
    name: 'volant.vms.exec.output',
    scope: 'read',
    description: 'Show output of a program that was run in a VM, from an offset on.',
    input: OutputInput,
    output: outputOf(OutputAnswer),
    hints: READS,
    run: output,
  }),
  defineTool({
    name: 'volant.vms.exec.list',
    scope: 'read',
    description: 'List the programs that were run in a VM: running, exited or lost.',
    input: Type.Object(NAME),
    output: listOf('execs', ExecSchema),
    hints: READS,
    run: async ({ engine }, { name }) => ({ execs: await engine.execs.list(name) }),
  }),
  defineTool({
    name: 'volant.vms.exec.stdin',
    scope: 'operate',
    description:
      'Write a text to the standard input of a program that was started with stdin_open, or end it.',
    input: Type.Object({
      ...ONE,
      input: Type.String({
        maxLength: LIMITS.execInputBytesMax / 4,
        description: 'Sent unchanged',
      }),
      close: Type.Optional(Type.Boolean({ description: 'End standard input after it' })),
    }),
    output: outputOf(ExecInputSchema),
    hints: ADDS,
    run: ({ engine }, { name, id, input, close = false }) =>
      writeInput(engine.execs, name, id, Buffer.from(input), close),
  }),
  defineTool({
    name: 'volant.vms.exec.signal',
    scope: 'operate',
    description: 'Send a signal to a program that was run in a VM, and to its process group.',
    input: Type.Object({
      ...ONE,
      signal: Type.String({ description: 'Such as SIGINT, SIGTERM or SIGKILL' }),
    }),
    output: outputOf(Type.Object({ id: Type.String(), signal: Type.String() })),
    hints: INTERRUPTS,
    run: async ({ engine }, { name, id, signal }) => {
      const number = signalNumber(signal);
      if (number === null) {
        const details = { signal: 'must be the name of a signal, such as SIGTERM' };
        throw new VolantError('BODY_INVALID', 'The arguments are not valid', { details });
      }
      await engine.execs.signal(name, id, number);
      return { id, signal };
    },
  }),
];

/**
 * Starts a program in a VM, waits for its end as long as `wait` says, and reads the first bytes of its output. Throws what the
 * engine throws.
 */
export async function runExec(
  { engine, ending }: ToolContext,
  {
    name,
    wait = LIMITS.mcpExecWaitMs,
    bytes = LIMITS.mcpExecBytes,
    ...request
  }: Static<typeof RunInput>,
): Promise<Static<typeof RunAnswer>> {
  const { id } = await engine.execs.create(name, request);
  const exec = await waitForEnd(engine.execs, name, id, wait, ending);
  const isLost = exec.state === 'lost';
  const read = async (stream: 'stdout' | 'stderr') => {
    if (isLost) return { text: '', next: 0, isEnd: true };
    const question = { stream, offset: 0, bytesMax: bytes, waitMs: 0 };
    const part = await readOutput(engine.execs, name, id, question);
    const next = part.offset + part.bytes.length;
    return { text: part.bytes.toString(), next, isEnd: part.isEnd };
  };
  const [out, err] = [await read('stdout'), await read('stderr')];
  return {
    ...exec,
    stdout: out.text,
    stdout_next: out.next,
    stderr: err.text,
    stderr_next: err.next,
    more: !out.isEnd || !err.isEnd,
  };
}

async function output(
  { engine, ending }: ToolContext,
  args: Static<typeof OutputInput>,
): Promise<object> {
  const { name, id, stream = 'stdout', offset = 0, wait = 0, bytes = LIMITS.mcpExecBytes } = args;
  const question = { stream, offset, bytesMax: bytes, waitMs: wait, signal: ending };
  const part = await readOutput(engine.execs, name, id, question);
  return {
    output: part.bytes.toString(),
    offset: part.offset,
    next: part.offset + part.bytes.length,
    end: part.isEnd,
  };
}
