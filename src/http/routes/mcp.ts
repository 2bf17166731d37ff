// http, routes: the endpoint for agents. Which of its dialects a request speaks is told by its body;
// each dialect has a file in http/mcp.

import { VolantError } from '../../lib/errors.ts';
import { parseJson } from '../body.ts';
import type { Handlers, RawHandler } from '../handlers.ts';
import { answerCommand } from '../mcp/commands.ts';
import { errorAnswer, isObject, RPC, RpcError, readMessage } from '../mcp/json-rpc.ts';
import { answerBatch, answerLegacy } from '../mcp/legacy.ts';
import { answerModern, isModern } from '../mcp/modern.ts';
import { empty } from '../reply.ts';
import { requested } from '../request-id.ts';

const answer: RawHandler = async (shared, head, raw, exchange) => {
  const context = { ...shared, cause: requested(head) };
  const version = head.headers['mcp-protocol-version'] ?? '';
  try {
    const body = parseJson(raw);
    if (Array.isArray(body)) return await answerBatch(context, body, version);
    if (isCommand(body, version)) return await answerCommand(context, body);
    const message = readMessage(body);
    if (message === null) return empty(202);
    return isModern(message, version)
      ? await answerModern(context, message, head.headers, exchange)
      : await answerLegacy(context, message);
  } catch (thrown) {
    // A client that says which revision it speaks understands errors of that revision.
    if (thrown instanceof VolantError && thrown.code === 'JSON_INVALID' && version !== '') {
      const parse = new RpcError(RPC.parseError, thrown.message, { status: 400 });
      return errorAnswer(undefined, parse);
    }
    if (thrown instanceof RpcError) return errorAnswer(thrown.id, thrown);
    throw thrown;
  }
};

/** What is neither is taken for a broken command, unless its header says that it is a message. */
function isCommand(body: unknown, version: string): boolean {
  const { jsonrpc, command } = isObject(body) ? body : {};
  return jsonrpc === undefined && (version === '' || typeof command === 'string');
}

export const mcpRoutes = { postMCPCommand: { raw: answer } } satisfies Partial<Handlers>;
