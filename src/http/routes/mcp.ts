// http, routes: the MCP endpoint. The body of a request determines its protocol; each protocol has a file in http/mcp.

import { VolantError } from '../../lib/errors.ts';
import { parseJson } from '../exchange/body.ts';
import type { Exchange, RequestHead } from '../exchange/exchange.ts';
import { empty, type Reply } from '../exchange/reply.ts';
import { requested } from '../exchange/request-id.ts';
import type { HandlerContext, Handlers, RawHandler } from '../handlers.ts';
import { answerCommand } from '../mcp/commands.ts';
import { errorAnswer, isObject, RPC, RpcError, readMessage } from '../mcp/json-rpc.ts';
import { answerBatch, answerLegacy } from '../mcp/legacy.ts';
import { answerModern, isModern } from '../mcp/modern.ts';
import type { ToolContext } from '../mcp/tools/tool.ts';

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

/** A client that states its revision understands the errors of that revision. */
function bodyIn(raw: Buffer, version: string): unknown {
  try {
    return parseJson(raw);
  } catch (error) {
    if (!(error instanceof VolantError) || version === '') throw error;
    throw new RpcError(RPC.parseError, error.message, { status: 400 });
  }
}

/** A body of neither form counts as a broken command, unless its header says that it is a message. */
function isCommand(body: unknown, version: string): boolean {
  const { jsonrpc, command } = isObject(body) ? body : {};
  return jsonrpc === undefined && (version === '' || typeof command === 'string');
}

export const mcpRoutes = { postMCPCommand: { raw: answer } } satisfies Partial<Handlers>;
