// http, mcp: what a tool is, and how one is called. The tools themselves are in the files beside this
// one; what a dialect makes of a result is the dialect's business.

import { setImmediate } from 'node:timers/promises';
import type { Static, TObject, TSchema } from 'typebox';
import type { Cause } from '../../engine/engine-api.ts';
import { toVolantError, VolantError } from '../../lib/errors.ts';
import type { Scope } from '../../lib/scopes.ts';
import { ignoredText, takeUnknownMembers, unknownText } from '../../schema/unknown-members.ts';
import { compileValidator, keyOf, type Problems } from '../../schema/validate.ts';
import { requireScope } from '../callers.ts';
import type { HandlerContext } from '../handlers.ts';
import { loudnessOf } from '../reply.ts';
import type { WaitSignals } from '../waits.ts';

/** What a client may think of a tool before it calls it; the protocol's ToolAnnotations. */
export interface ToolHints {
  readonly readOnlyHint: boolean;
  /** It can take away what cannot be had back. */
  readonly destructiveHint: boolean;
  /** A second call with the same arguments changes nothing more. */
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
  /** The request that the call came with. */
  readonly cause: Cause;
}

/** The result is what JSON.stringify makes of it. MCP wants an object. */
type Run<Arguments, Result> = (context: ToolContext, args: Arguments) => Result | Promise<Result>;

interface ToolDefinition<Input extends TObject> {
  readonly name: string;
  /** What a key must be good for. */
  readonly scope: Scope;
  /** A sentence for the model that chooses. */
  readonly description: string;
  readonly input: Input;
  /** What it answers, as clients hold it against its results: see outputs.ts. */
  readonly output: TSchema;
  readonly hints: ToolHints;
  readonly run: Run<Static<Input>, object>;
  /** As a command of Volant's own dialect, where that answers otherwise. */
  readonly command?: Run<Static<Input>, unknown>;
}

export interface CommandResult {
  readonly result: unknown;
  /** A sentence for each argument that was ignored. */
  readonly warnings: readonly string[];
}

export interface Tool extends Omit<ToolDefinition<TObject>, 'run' | 'command'> {
  /**
   * Throws SCOPE_FORBIDDEN, BODY_INVALID with every wrong argument, those that are not known too, else whatever the
   * engine says.
   */
  call(context: ToolContext, args: unknown): Promise<object>;
  /** The same as a command of Volant's own dialect, which ignores arguments that it does not know, and says so. */
  command(context: ToolContext, args: unknown): Promise<CommandResult>;
}

export function defineTool<Input extends TObject>(definition: ToolDefinition<Input>): Tool {
  const { run, command = run, ...description } = definition;
  let validator: ((value: unknown) => Problems | null) | undefined;
  const checked = ({ caller }: ToolContext, args: unknown): Static<Input> => {
    requireScope(caller, definition.scope, definition.name);
    // Compiled by the first call: most daemons never see one.
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

/** Taken out of the arguments. A model does not read warnings: it is refused, so that it asks again. */
function unknownArguments(input: TObject, args: object): Problems {
  const known = Object.keys(input.properties);
  if (known.length > 0) return takeUnknownMembers(input, args);
  return Object.fromEntries(
    Object.keys(args).map((name) => [keyOf(name), unknownText(name, known)]),
  );
}

/** What a tool threw, as a client may see it. Faults of the daemon are told to the log, too. */
export function toolError(context: ToolContext, tool: string, thrown: unknown): VolantError {
  const error = toVolantError(thrown);
  const { requestId } = context.cause;
  const facts = { tool, request_id: requestId, code: error.code, err: error };
  context.log[loudnessOf(error)](facts, 'tool failed');
  return error;
}

/** The sentence, and what is wrong with each argument. */
export function errorText({ title, details }: VolantError): string {
  const problems = Object.entries(details ?? {}).map(([path, problem]) => `${path} ${problem}`);
  return problems.length === 0 ? title : `${title}: ${problems.join('; ')}`;
}

/** Pages of a list one after the other, so that a long one does not hold up other work. */
export async function allPages<Item>(
  pageSize: number,
  read: (offset: number) => readonly Item[],
): Promise<Item[]> {
  const items: Item[] = [];
  for (;;) {
    const page = read(items.length);
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
