// http, mcp: revision 2026-07-28. Every request states in _meta and in headers its revision and what its client supports.
// There is no handshake and no session.

import type { Exchange } from '../exchange/exchange.ts';
import { empty, type Reply } from '../exchange/reply.ts';
import type { HandlerContext } from '../handlers.ts';
import {
  errorAnswer,
  isObject,
  RPC,
  RpcError,
  type RpcId,
  type RpcMessage,
  resultMessage,
  rpcAnswer,
  toRpcError,
} from './json-rpc.ts';
import {
  type Freshness,
  findMethod,
  INSTRUCTIONS,
  LEGACY_VERSIONS,
  MODERN_VERSION,
  SERVER_INFO,
} from './methods.ts';
import { listen } from './subscriptions.ts';
import type { ToolContext } from './tools/tool.ts';

const VERSION_KEY = 'io.modelcontextprotocol/protocolVersion';
const CAPABILITIES_KEY = 'io.modelcontextprotocol/clientCapabilities';

/** How long a client may cache results that change only with the daemon. */
const FIXED_TTL_MS = 300_000;

/** The parameter that a request repeats in the header Mcp-Name. */
const NAMED_BY: Readonly<Record<string, string>> = {
  'tools/call': 'name',
  'resources/read': 'uri',
};

type Headers = Readonly<Record<string, string>>;

/** true if the request states a version in its body, or a version of this kind in its header. */
export function isModern({ params }: RpcMessage, version: string): boolean {
  if (isObject(params['_meta']) && VERSION_KEY in params['_meta']) return true;
  return version !== '' && !LEGACY_VERSIONS.some((legacy) => legacy === version);
}

/** null: the answer is a stream, which has begun. */
export async function answerModern(
  context: HandlerContext & ToolContext,
  message: RpcMessage,
  headers: Headers,
  exchange: Exchange,
): Promise<Reply | null> {
  const { id, method } = message;
  if (id === undefined) return empty(202);
  try {
    checkVersion(message, headers['mcp-protocol-version'] ?? '');
    checkHeaders(message, headers);
    if (method === 'subscriptions/listen') {
      listen(context, exchange, id, message.params);
      return null;
    }
    return rpcAnswer(200, await run(context, id, message));
  } catch (thrown) {
    const error = toRpcError(context, method, thrown);
    return errorAnswer(id, error.code === RPC.resourceNotFound ? asInvalidParams(error) : error);
  }
}

async function run(
  context: HandlerContext & ToolContext,
  id: RpcId,
  { method, params }: RpcMessage,
): Promise<object> {
  if (method === 'server/discover') return resultMessage(id, complete(discover(), 'fixed'));
  const found = findMethod(method);
  if (found === undefined) {
    throw new RpcError(RPC.methodNotFound, `Unknown method: ${method}`, { status: 404 });
  }
  return resultMessage(id, complete(await found.run(context, params), found.freshness));
}

function discover(): object {
  return {
    supportedVersions: [MODERN_VERSION, ...LEGACY_VERSIONS],
    capabilities: { tools: {}, resources: { subscribe: true, listChanged: true } },
    instructions: INSTRUCTIONS,
  };
}

/** Adds the members that this revision requires in every result. */
function complete(result: object, freshness: Freshness | undefined): object {
  return {
    ...result,
    resultType: 'complete',
    ...(freshness === 'fixed' ? { ttlMs: FIXED_TTL_MS, cacheScope: 'public' } : {}),
    ...(freshness === 'live' ? { ttlMs: 0, cacheScope: 'private' } : {}),
    _meta: { 'io.modelcontextprotocol/serverInfo': SERVER_INFO },
  };
}

function checkVersion({ params }: RpcMessage, header: string): void {
  const meta = isObject(params['_meta']) ? params['_meta'] : {};
  const requested = meta[VERSION_KEY] ?? header;
  if (typeof requested !== 'string') throw badMeta(`${VERSION_KEY} must be a string`);
  if (header !== '' && header !== requested) {
    throw mismatch(`MCP-Protocol-Version is ${header}, the body says ${requested}`);
  }
  if (requested !== MODERN_VERSION) {
    const supported = [MODERN_VERSION, ...LEGACY_VERSIONS];
    const data = { supported, requested };
    throw new RpcError(RPC.unsupportedVersion, 'Unsupported protocol version', {
      data,
      status: 400,
    });
  }
  if (meta[VERSION_KEY] === undefined) throw badMeta(`${VERSION_KEY} is required`);
  if (!isObject(meta[CAPABILITIES_KEY])) throw badMeta(`${CAPABILITIES_KEY} must be an object`);
  if (header === '') throw mismatch('The header MCP-Protocol-Version is required');
}

/** Proxies that read only the headers must see the same request as this server. */
function checkHeaders({ method, params }: RpcMessage, headers: Headers): void {
  const { 'mcp-method': methodHeader = '', 'mcp-name': nameHeader = '' } = headers;
  if (methodHeader === '') throw mismatch('The header Mcp-Method is required');
  if (methodHeader !== method) {
    throw mismatch(`Mcp-Method is ${methodHeader}, the body says ${method}`);
  }
  const source = NAMED_BY[method];
  if (source === undefined) return;
  const name = params[source];
  // The method reports a wrong type itself.
  if (typeof name !== 'string') return;
  if (nameHeader === '') throw mismatch('The header Mcp-Name is required');
  if (decoded(nameHeader) !== name) throw mismatch(`Mcp-Name is not what params.${source} says`);
}

/** Text that is not plain ASCII is encoded as =?base64?...?= */
function decoded(header: string): string {
  const encoded = /^=\?base64\?(.*)\?=$/.exec(header)?.[1];
  return encoded === undefined ? header : Buffer.from(encoded, 'base64').toString();
}

function mismatch(why: string): RpcError {
  return new RpcError(RPC.headerMismatch, `Header mismatch: ${why}`, { status: 400 });
}

function badMeta(why: string): RpcError {
  return new RpcError(RPC.invalidParams, `_meta: ${why}`, { status: 400 });
}

function asInvalidParams({ message, data }: RpcError): RpcError {
  return new RpcError(RPC.invalidParams, message, { data });
}
