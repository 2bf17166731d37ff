// http, routes: the endpoint for agents. Which of its dialects a request speaks is told by its body;
// each dialect has a file in http/mcp.

import { VolantError } from '../../lib/errors.ts';
import { parseJson } from '../body.ts';
import type { Exchange, RequestHead } from '../exchange.ts';
import type { HandlerContext, Handlers, RawHandler } from '../handlers.ts';
import { answerCommand } from '../mcp/commands.ts';
import { errorAnswer, isObject, RPC, RpcError, readMessage } from '../mcp/json-rpc.ts';
import { answerBatch, answerLegacy } from '../mcp/legacy.ts';
import { answerModern, isModern } from '../mcp/modern.ts';
import type { ToolContext } from '../mcp/tool.ts';
import { empty, type Reply } from '../reply.ts';
import { requested } from '../request-id.ts';

const answer: RawHandler = (shared, head, raw, exchange) =>
  shared.waits.during(shared.caller, exchange, (signals) =>
    answerBody({ ...shared, ...signals, cause: requested(head) }, head, raw, exchange),
  );

async function answerBody(
  context: HandlerContext & ToolContext,
  head: RequestHead,
  raw: Buffer,
  exchange: Exchange,
): Promise<Reply | null> {
  const version = head.headers['mcp-protocol-version'] ?? '';
  try {
    const body = bodyIn(raw, version);
    if (Array.isArray(body)) return await answerBatch(context, body, version);
    if (isCommand(body, version)) return await answerCommand(context, body);
    const message = readMessage(body);
    if (message === null) return empty(202);
    return isModern(message, version)
      ? await answerModern(context, message, head.headers, exchange)
      : await answerLegacy(context, message);
  } catch (thrown) {
    if (thrown instanceof RpcError) return errorAnswer(thrown.id, thrown);
    throw thrown;
  }
}

/** A client that says which revision it speaks understands errors of that revision. */
function bodyIn(raw: Buffer, version: string): unknown {
  try {
    return parseJson(raw);
  } catch (error) {
    if (!(error instanceof VolantError) || version === '') throw error;
    throw new RpcError(RPC.parseError, error.message, { status: 400 });
  }
}

/** What is neither is taken for a broken command, unless its header says that it is a message. */
function isCommand(body: unknown, version: string): boolean {
  const { jsonrpc, command } = isObject(body) ? body : {};
  return jsonrpc === undefined && (version === '' || typeof command === 'string');
}

export const mcpRoutes = { postMCPCommand: { raw: answer } } satisfies Partial<Handlers>;
