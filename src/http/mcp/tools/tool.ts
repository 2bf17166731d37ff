// http, mcp: what a tool is, and how one is called. The tools themselves are in the files beside this one. Each protocol
// formats results in its own file.

import { setImmediate } from 'node:timers/promises';
import type { Static, TObject, TSchema } from 'typebox';
import type { Cause } from '../../../engine/engine-api.ts';
import { toVolantError, VolantError } from '../../../lib/errors.ts';
import type { Problems } from '../../../lib/formats/member-path.ts';
import { keyOf } from '../../../lib/formats/member-path.ts';
import type { Scope } from '../../../lib/scopes.ts';
import { ignoredText, takeUnknownMembers, unknownText } from '../../../schema/unknown-members.ts';
import { compileValidator } from '../../../schema/validate.ts';
import { requireScope } from '../../access/callers.ts';
import { logLevelOf } from '../../exchange/reply.ts';
import type { HandlerContext } from '../../handlers.ts';
import type { WaitSignals } from '../../streams/waits.ts';

/** Hints for clients about the effect of a tool; the protocol's ToolAnnotations. */
export interface ToolHints {
  readonly readOnlyHint: boolean;
  /** true: it can destroy something that cannot be restored. */
  readonly destructiveHint: boolean;
  /** true: a second call with the same arguments has no further effect. */
  readonly idempotentHint: boolean;
}

export const READS: ToolHints = hints(true, false, true);
export const ADDS: ToolHints = hints(false, false, false);
export const CHANGES: ToolHints = hints(false, false, true);
export const INTERRUPTS: ToolHints = hints(false, true, false);
export const REMOVES: ToolHints = hints(false, true, true);

export interface ToolContext
  extends Pick<HandlerContext, 'caller' | 'engine' | 'config' | 'log' | 'guards' | 'supervisor'>,
    WaitSignals {
  /** The request that carries the call. */
  readonly cause: Cause;
}

/** JSON.stringify() serialises the result. MCP requires an object. */
type Run<Arguments, Result> = (context: ToolContext, args: Arguments) => Result | Promise<Result>;

interface ToolDefinition<Input extends TObject> {
  readonly name: string;
  /** The scope that a key needs. */
  readonly scope: Scope;
  /** A sentence for the language model that selects tools. */
  readonly description: string;
  readonly input: Input;
  /** Schema of the answer, against which clients validate results: see outputs.ts. */
  readonly output: TSchema;
  readonly hints: ToolHints;
  readonly run: Run<Static<Input>, object>;
  /** The answer as a command of Volant's own format, if that differs. */
  readonly command?: Run<Static<Input>, unknown>;
}

export interface CommandResult {
  readonly result: unknown;
  /** One sentence for each ignored argument. */
  readonly warnings: readonly string[];
}

export interface Tool extends Omit<ToolDefinition<TObject>, 'run' | 'command'> {
  /** Throws SCOPE_FORBIDDEN, BODY_INVALID that names every wrong or unknown argument, and the errors of the engine. */
  call(context: ToolContext, args: unknown): Promise<object>;
  /** Runs the tool as a command of Volant's own format. Unknown arguments are ignored and named in `warnings`. */
  command(context: ToolContext, args: unknown): Promise<CommandResult>;
}

export function defineTool<Input extends TObject>(definition: ToolDefinition<Input>): Tool {
  const { run, command = run, ...description } = definition;
  let validator: ((value: unknown) => Problems | null) | undefined;
  const checked = ({ caller }: ToolContext, args: unknown): Static<Input> => {
    requireScope(caller, definition.scope, definition.name);
    // Compiled on the first call: most daemons never get one.
    validator ??= compileValidator(definition.input);
    const details = validator(args);
    if (details === null) return args as Static<Input>;
    throw new VolantError('BODY_INVALID', 'The arguments are not valid', { details });
  };
  return {
    ...description,
    call: async (context, args) => {
      const known = checked(context, args);
      const details = unknownArguments(definition.input, known);
      if (Object.keys(details).length === 0) return run(context, known);
      throw new VolantError('BODY_INVALID', 'The arguments are not valid', { details });
    },
    command: async (context, args) => {
      const known = checked(context, args);
      const unknown = Object.entries(unknownArguments(definition.input, known));
      return { result: await command(context, known), warnings: unknown.map(ignoredText) };
    },
  };
}

/** Unknown arguments are refused, not ignored: a model does not read warnings, but it corrects an error. */
function unknownArguments(input: TObject, args: object): Problems {
  const known = Object.keys(input.properties);
  if (known.length > 0) return takeUnknownMembers(input, args);
  return Object.fromEntries(
    Object.keys(args).map((name) => [keyOf(name), unknownText(name, known)]),
  );
}

/** What a tool threw, as a client may see it. Faults of the daemon are logged, too. */
export function toolError(context: ToolContext, tool: string, thrown: unknown): VolantError {
  const error = toVolantError(thrown);
  const { requestId } = context.cause;
  const facts = { tool, request_id: requestId, code: error.code, err: error };
  context.log[logLevelOf(error)](facts, 'tool failed');
  return error;
}

/** The message, and what is wrong with each argument. */
export function errorText({ title, details }: VolantError): string {
  const problems = Object.entries(details ?? {}).map(([path, problem]) => `${path} ${problem}`);
  return problems.length === 0 ? title : `${title}: ${problems.join('; ')}`;
}

/** Reads the pages of a list one after the other, so that a long list does not block other work. */
export async function allPages<Item>(
  pageSize: number,
  read: (offset: number) => readonly Item[] | Promise<readonly Item[]>,
): Promise<Item[]> {
  const items: Item[] = [];
  for (;;) {
    const page = await read(items.length);
    items.push(...page);
    if (page.length < pageSize) return items;
    await setImmediate();
  }
}

function hints(
  readOnlyHint: boolean,
  destructiveHint: boolean,
  idempotentHint: boolean,
): ToolHints {
  return { readOnlyHint, destructiveHint, idempotentHint };
}
