// http, mcp: JSON-RPC 2.0 messages as the Model Context Protocol uses them: parsing, answers, errors.

import { toVolantError } from '../../lib/errors.ts';
import { JSON_TYPE, logLevelOf, type Reply } from '../exchange/reply.ts';
import type { ToolContext } from './tools/tool.ts';

/** Error codes of JSON-RPC, and those that MCP adds. */
export const RPC = {
  parseError: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internalError: -32603,
  /** Until revision 2025-11-25; later revisions use invalidParams. */
  resourceNotFound: -32002,
  headerMismatch: -32020,
  unsupportedVersion: -32022,
} as const;

/** MCP allows no null id, unlike plain JSON-RPC. */
export type RpcId = string | number;

type RpcObject = Readonly<Record<string, unknown>>;

export interface RpcMessage {
  /** Absent for a notification, which is not answered. */
  readonly id?: RpcId;
  readonly method: string;
  readonly params: RpcObject;
}

interface RpcErrorOptions {
  readonly data?: unknown;
  /** Status of the HTTP answer, if the revision assigns one to the error. */
  readonly status?: number;
  /** Id of the message that caused the error, if it is known. */
  readonly id?: RpcId | undefined;
}

/** An error of the protocol. A tool that fails is a result instead. */
export class RpcError extends Error {
  override readonly name = 'RpcError';
  readonly code: number;
  readonly data: unknown;
  readonly status: number;
  readonly id: RpcId | undefined;

  constructor(code: number, message: string, { data, status = 200, id }: RpcErrorOptions = {}) {
    super(message);
    this.code = code;
    this.data = data;
    this.status = status;
    this.id = id;
  }
}

export function isObject(value: unknown): value is RpcObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** null for an answer, which this server never expects. Throws RpcError if the value is not a message. */
export function readMessage(value: unknown): RpcMessage | null {
  if (!isObject(value) || value['jsonrpc'] !== '2.0') throw invalid('Not a JSON-RPC 2.0 message');
  const { id, method, params = {} } = value;
  if (id !== undefined && !isId(id)) throw invalid('id must be a string or an integer');
  if (typeof method !== 'string') {
    if ('result' in value || 'error' in value) return null;
    throw invalid('method must be a string', id);
  }
  if (!isObject(params)) throw invalid('params must be an object', id);
  return id === undefined ? { method, params } : { id, method, params };
}

function isId(value: unknown): value is RpcId {
  return typeof value === 'string' || Number.isSafeInteger(value);
}

function invalid(why: string, id?: RpcId): RpcError {
  return new RpcError(RPC.invalidRequest, why, { status: 400, id });
}

export function resultMessage(id: RpcId, result: object): object {
  return { jsonrpc: '2.0', id, result };
}

/** Without an id if the request had no readable one. */
export function errorMessage(id: RpcId | undefined, { code, message, data }: RpcError): object {
  const error = { code, message, ...(data === undefined ? {} : { data }) };
  return { jsonrpc: '2.0', ...(id === undefined ? {} : { id }), error };
}

export function errorAnswer(id: RpcId | undefined, error: RpcError): Reply {
  return rpcAnswer(error.status, errorMessage(id, error));
}

export function rpcAnswer(status: number, message: object): Reply {
  return { status, body: JSON.stringify(message), contentType: JSON_TYPE };
}

/** Converts anything that a method threw. Faults of the daemon are logged. */
export function toRpcError({ log, cause }: ToolContext, method: string, thrown: unknown): RpcError {
  if (thrown instanceof RpcError) return thrown;
  const error = toVolantError(thrown);
  const { requestId } = cause;
  log[logLevelOf(error)](
    { method, request_id: requestId, code: error.code, err: error },
    'MCP request failed',
  );
  return new RpcError(RPC.internalError, error.message, { data: { code: error.code } });
}
