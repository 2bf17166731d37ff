// http, mcp: tools for the inside of a VM: its workload, the workload's log, the console. Each answer is complete and
// bounded, and the stream that it was read from is closed before.

import { type Static, Type } from 'typebox';
import { LIMITS } from '../../../../config/limits.ts';
import { VolantError } from '../../../../lib/errors.ts';
import { MapOf, Nullable } from '../../../../schema/parts.ts';
import type { Vm } from '../../../../schema/vm.ts';
import { AGENT_SCOPE } from '../../../guests/agent-proxy.ts';
import { askConsole, type ConsoleAnswer } from '../../../guests/console-exchange.ts';
import { readLog } from '../../../guests/read-log.ts';
import { runAction } from '../../../guests/run-action.ts';
import { SOCKET_SCOPES } from '../../../streams/web-sockets.ts';
import { NAME } from '../arguments.ts';
import { outputOf } from '../outputs.ts';
import { ADDS, defineTool, INTERRUPTS, READS, type Tool, type ToolContext } from '../tool.ts';
import { RequestAnswerSchema, RequestInput, requestGuest } from './guest-request.ts';

const ActionInput = Type.Object({
  ...NAME,
  action: Type.String({ description: 'Name of an action in the manifest of the VM' }),
  plugin: Type.Optional(
    Type.String({ description: 'The plugin of the VM; the default if absent' }),
  ),
  body: Type.Optional(MapOf(Type.Unknown())),
});

const ActionAnswerSchema = Type.Object({
  status: Type.Integer({ description: "Status of the workload's answer" }),
  answer: Type.Unknown({ description: "The workload's answer; null if it is empty" }),
});

const LogInput = Type.Object({
  ...NAME,
  cursor: Type.Optional(
    Type.String({
      pattern: '^\\d{1,10}-(\\d{1,15})?$',
      description: 'The cursor of an earlier answer: only lines after it, oldest first',
    }),
  ),
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: LIMITS.mcpPageMax,
      description: `Maximum number of lines in the answer; ${LIMITS.mcpPageDefault} when absent`,
    }),
  ),
  wait: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: LIMITS.mcpGuestWaitMaxMs,
      description: 'Milliseconds to wait for a line if there is none yet',
    }),
  ),
});

const LogAnswerSchema = Type.Object({
  lines: Type.Array(
    Type.Object({ stream: Type.String(), timestamp: Type.String(), line: Type.String() }),
    { description: 'Oldest first' },
  ),
  cursor: Nullable(
    Type.String({
      description: 'For the next call; null if the agent of the guest does not number its lines',
    }),
  ),
  more: Type.Boolean({ description: 'A bound was reached: call again with the cursor' }),
  lost: Type.Integer({
    description: 'Number of lines after the cursor that the guest has discarded',
  }),
  restarted: Type.Boolean({
    description: 'The cursor was of an earlier boot: these are the newest lines of the current one',
  }),
});

const BYTES = {
  bytes: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: LIMITS.consoleReplayBytesMax,
      description: `Maximum number of bytes in the answer; the newest are kept; ${LIMITS.mcpConsoleBytes} when absent`,
    }),
  ),
};

const WriteInput = Type.Object({
  ...NAME,
  input: Type.String({
    maxLength: LIMITS.mcpConsoleInputMax,
    description: 'The text to type; an empty text only presses Enter',
  }),
  enter: Type.Optional(Type.Boolean({ description: 'Press Enter after it; true when absent' })),
  until: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 256,
      description: 'Answer as soon as this text is printed, such as a prompt',
    }),
  ),
  timeout: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: LIMITS.mcpGuestWaitMaxMs,
      description: `Milliseconds after which the answer is what was printed; ${LIMITS.mcpConsoleTimeoutMs} when absent`,
    }),
  ),
  ...BYTES,
});

const ConsoleOutput = {
  output: Type.String({ description: 'As the guest printed it, with its control sequences' }),
  truncated: Type.Boolean({ description: 'Older output was left out' }),
  ended: Type.Boolean({ description: 'The guest ended before the answer was complete' }),
};

export const GUEST_TOOLS: readonly Tool[] = [
  defineTool({
    name: 'volant.vms.request',
    scope: AGENT_SCOPE,
    description:
      'Send an HTTP request to the workload of a VM through its agent, in every network mode. Returns status, headers and body, whatever the status is.',
    input: RequestInput,
    output: outputOf(RequestAnswerSchema),
    hints: INTERRUPTS,
    run: requestGuest,
  }),
  defineTool({
    name: 'volant.vms.action',
    scope: 'operate',
    description:
      'Run an action of the manifest of a VM; volant.vms.config.get lists them. ACTION_FAILED if the workload refuses.',
    input: ActionInput,
    output: outputOf(ActionAnswerSchema),
    hints: INTERRUPTS,
    run: action,
  }),
  defineTool({
    name: 'volant.vms.logs',
    scope: SOCKET_SCOPES.logs,
    description:
      'Show the newest lines that the workload of a VM has written, or with a cursor the lines after it.',
    input: LogInput,
    output: outputOf(LogAnswerSchema),
    hints: READS,
    run: logs,
  }),
  defineTool({
    name: 'volant.vms.console.read',
    scope: SOCKET_SCOPES.console,
    description: 'Show what a VM has printed last on its console: its kernel, agent and shell.',
    input: Type.Object({ ...NAME, ...BYTES }),
    output: outputOf(Type.Object(ConsoleOutput)),
    hints: READS,
    run: async ({ engine, ending }, { name, bytes = LIMITS.mcpConsoleBytes }) => {
      const timeoutMs = LIMITS.mcpConsoleTimeoutMs;
      const question = { input: null, until: null, quietMs: 0, timeoutMs, bytesMax: bytes };
      return shown(await askConsole(engine.consoles, name, { ...question, signal: ending }));
    },
  }),
  defineTool({
    name: 'volant.vms.console.write',
    scope: SOCKET_SCOPES.console,
    description:
      'Type a line on the console of a VM and show what it prints, until it is silent, a text is printed or the time is over. The guest needs a program that reads the console: a shell or a login.',
    input: WriteInput,
    output: outputOf(
      Type.Object({
        ...ConsoleOutput,
        found: Type.Boolean({ description: 'The text of until was printed' }),
      }),
    ),
    hints: { ...ADDS, destructiveHint: true },
    run: write,
  }),
];

async function action(
  { engine, gone }: ToolContext,
  { name, action: asked, plugin, body }: Static<typeof ActionInput>,
): Promise<object> {
  const vm = engine.vms.get(name);
  if (vm === undefined) throw new VolantError('VM_NOT_FOUND', `There is no VM named ${name}`);
  const call = { vmName: name, plugin: plugin ?? (JSON.parse(vm) as Vm).plugin, action: asked };
  const { status, value, failure } = await runAction(engine.agents, call, body ?? {}, gone);
  if (failure === null) return { status, answer: value ?? null };
  throw new VolantError('ACTION_FAILED', failure, { details: { status: String(status) } });
}

async function logs(
  { engine, ending }: ToolContext,
  { name, cursor, limit = LIMITS.mcpPageDefault, wait = 0 }: Static<typeof LogInput>,
): Promise<object> {
  const stream = engine.agents.connection(name).open();
  // Each boot numbers its lines from the start, and each boot has its own hypervisor process.
  const boot = String((JSON.parse(engine.vms.get(name) ?? '{}') as Partial<Vm>).pid ?? 0);
  const [ofBoot, number = ''] = cursor?.split('-') ?? [];
  const restarted = cursor !== undefined && ofBoot !== boot;
  const after = cursor === undefined || restarted || number === '' ? undefined : Number(number);
  const question = { after, linesMax: limit, waitMs: wait, signal: ending };
  const { lines, isCut } = await readLog(stream, question);
  const last = lines.at(-1)?.number ?? (lines.length === 0 ? (after ?? '') : null);
  const first = lines[0]?.number ?? null;
  return {
    lines: lines.map(({ stream: from, timestamp, line }) => ({ stream: from, timestamp, line })),
    cursor: last === null ? null : `${boot}-${last}`,
    // Without a cursor only the newest lines were requested.
    more: isCut && after !== undefined,
    lost: after === undefined || first === null ? 0 : Math.max(0, first - after - 1),
    restarted,
  };
}

async function write(
  { engine, ending }: ToolContext,
  { name, input, enter = true, until, timeout, bytes }: Static<typeof WriteInput>,
): Promise<object> {
  const answer = await askConsole(engine.consoles, name, {
    input: enter ? `${input}\r` : input,
    until: until ?? null,
    quietMs: LIMITS.mcpConsoleQuietMs,
    timeoutMs: timeout ?? LIMITS.mcpConsoleTimeoutMs,
    bytesMax: bytes ?? LIMITS.mcpConsoleBytes,
    signal: ending,
  });
  return { ...shown(answer), found: answer.isFound };
}

function shown({ output, isCut, hasEnded }: ConsoleAnswer) {
  return { output, truncated: isCut, ended: hasEnded };
}
