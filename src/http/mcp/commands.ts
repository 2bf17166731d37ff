// http, mcp: Volant's own dialect: {command, params} is answered with {result, error?}, and with 200
// once the command could be read, because its first clients look at nothing else.

import { VolantError } from '../../lib/errors.ts';
import { json, type Reply } from '../reply.ts';
import { isObject } from './json-rpc.ts';
import { errorText, type ToolContext, toolError } from './tool.ts';
import { findTool } from './tools.ts';

/** Throws BODY_INVALID when it is no command. */
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
  if (typeof command !== 'string' || command === '') details['command'] = 'is required';
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
