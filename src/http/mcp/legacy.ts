// http, mcp: the MCP revisions with a handshake, 2024-11-05 to 2025-11-25. No session is kept: the answer to initialize is
// the same for every client, and later requests do not depend on it.

import { LIMITS } from '../../config/limits.ts';
import { empty, type Reply } from '../exchange/reply.ts';
import {
  errorAnswer,
  errorMessage,
  RPC,
  RpcError,
  type RpcMessage,
  readMessage,
  resultMessage,
  rpcAnswer,
  toRpcError,
} from './json-rpc.ts';
import { findMethod, INSTRUCTIONS, LEGACY_VERSIONS, SERVER_INFO } from './methods.ts';
import type { ToolContext } from './tools/tool.ts';

/** The only revision with batches, several messages in one request. */
export const BATCH_VERSION = '2025-03-26';

const [NEWEST] = LEGACY_VERSIONS;

/** Errors are normal answers here: the HTTP status is only about the transport of the message. */
export async function answerLegacy(context: ToolContext, message: RpcMessage): Promise<Reply> {
  const answer = await answerMessage(context, message);
  return answer === null ? empty(202) : rpcAnswer(200, answer);
}

/** Answers several messages of one request, in their order. */
export async function answerBatch(
  context: ToolContext,
  batch: readonly unknown[],
  version: string,
): Promise<Reply> {
  const invalid = (why: string) =>
    errorAnswer(undefined, new RpcError(RPC.invalidRequest, why, { status: 400 }));
  if (version !== '' && version !== BATCH_VERSION) {
    return invalid(`Revision ${version} does not allow batches`);
  }
  if (batch.length === 0) return invalid('A batch must have at least one message');
  if (batch.length > LIMITS.mcpBatchMax) {
    return invalid(`A batch may have at most ${LIMITS.mcpBatchMax} messages`);
  }
  const answers = await Promise.all(batch.map((value) => answerOneOf(context, value)));
  const given = answers.filter((answer) => answer !== null);
  return given.length === 0 ? empty(202) : rpcAnswer(200, given);
}

async function answerOneOf(context: ToolContext, value: unknown): Promise<object | null> {
  try {
    const message = readMessage(value);
    return message === null ? null : await answerMessage(context, message);
  } catch (error) {
    const rpcError = toRpcError(context, 'batch', error);
    return errorMessage(rpcError.id, rpcError);
  }
}

/** null for a notification, which gets no answer. */
async function answerMessage(
  context: ToolContext,
  { id, method, params }: RpcMessage,
): Promise<object | null> {
  if (id === undefined) return null;
  try {
    return resultMessage(id, await run(context, method, params));
  } catch (thrown) {
    return errorMessage(id, toRpcError(context, method, thrown));
  }
}

function run(
  context: ToolContext,
  method: string,
  params: RpcMessage['params'],
): object | Promise<object> {
  if (method === 'initialize') return initialize(params);
  if (method === 'ping') return {};
  const found = findMethod(method);
  if (found === undefined) throw new RpcError(RPC.methodNotFound, `Unknown method: ${method}`);
  return found.run(context, params);
}

/** The client's revision if it is supported, otherwise our newest; the client then decides whether to continue. */
function initialize({ protocolVersion }: RpcMessage['params']): object {
  return {
    protocolVersion: LEGACY_VERSIONS.find((version) => version === protocolVersion) ?? NEWEST,
    capabilities: { tools: {}, resources: {} },
    serverInfo: SERVER_INFO,
    instructions: INSTRUCTIONS,
  };
}
