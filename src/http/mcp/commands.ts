// http, mcp: Volant's own command format: {command, params} is answered with {result, error?}. The status is 200 once the
// command could be parsed, because its first clients check nothing else.

import { VolantError } from '../../lib/errors.ts';
import { json, type Reply } from '../exchange/reply.ts';
import { isObject } from './json-rpc.ts';
import { errorText, type ToolContext, toolError } from './tools/tool.ts';
import { findTool } from './tools/tools.ts';

/** Throws BODY_INVALID if the body is not a command. */
export async function answerCommand(context: ToolContext, body: unknown): Promise<Reply> {
  const { command, params } = readCommand(body);
  const tool = findTool(command);
  if (tool === undefined) return failed(`Unknown command: ${command}`);
  try {
    const { result, warnings } = await tool.command(context, params);
    return json(200, warnings.length === 0 ? { result } : { result, warnings });
  } catch (thrown) {
    return failed(errorText(toolError(context, command, thrown)));
  }
}

function readCommand(body: unknown): { command: string; params: object } {
  const { command, params } = isObject(body) ? body : {};
  const details: Record<string, string> = {};
  if (command === undefined || command === '') details['command'] = 'is required';
  else if (typeof command !== 'string') details['command'] = 'must be a string';
  if (params !== undefined && params !== null && !isObject(params)) {
    details['params'] = 'must be an object';
  }
  if (Object.keys(details).length > 0) {
    throw new VolantError('BODY_INVALID', undefined, { details });
  }
  return { command: command as string, params: (params ?? {}) as object };
}

function failed(error: string): Reply {
  return json(200, { result: null, error });
}
