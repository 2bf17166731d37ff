// schema: requests and answers of the MCP endpoint. Volant's own commands came first; the others are JSON-RPC messages,
// whose further shape MCP defines.

import { Type } from 'typebox';
import { ErrorSchema } from './error.ts';
import { Int64, MapOf, Warnings } from './parts.ts';

/** The type is described in words: some client generators cannot represent a union of two primitive types. */
const Id = Type.Unknown({
  description: 'Id of the message, a string or a whole number; an answer has the id of its request',
});

const Version = Type.Unsafe<'2.0'>({ type: 'string', enum: ['2.0'] });

export const McpRequestSchema = Type.Object(
  {
    command: Type.Optional(
      Type.String({
        description: 'A name from volant.system.get_capabilities; absent in JSON-RPC',
      }),
    ),
    params: Type.Optional(MapOf(Type.Unknown())),
    jsonrpc: Type.Optional(Version),
    id: Type.Optional(Id),
    method: Type.Optional(Type.String({ description: 'Method of a JSON-RPC message' })),
  },
  { $id: 'MCPRequest', description: 'A command, or a JSON-RPC message' },
);

export const McpAnswerSchema = Type.Object(
  {
    result: Type.Unknown({ description: 'null if the command failed' }),
    error: Type.Optional(Type.String({ description: 'Why the command failed' })),
    warnings: Type.Optional(Warnings),
  },
  { $id: 'MCPAnswer', additionalProperties: false, description: 'The answer to a command' },
);

const JsonRpcErrorSchema = Type.Object(
  {
    code: Int64({ minimum: Number.MIN_SAFE_INTEGER }),
    message: Type.String(),
    data: Type.Optional(Type.Unknown()),
  },
  { $id: 'JSONRPCError' },
);

export const JsonRpcAnswerSchema = Type.Object(
  {
    jsonrpc: Version,
    id: Type.Optional(Id),
    result: Type.Optional(Type.Unknown()),
    error: Type.Optional(JsonRpcErrorSchema),
  },
  { $id: 'JSONRPCAnswer', description: 'The answer to a JSON-RPC message: a result or an error' },
);

export const McpReplySchema = Type.Union([McpAnswerSchema, JsonRpcAnswerSchema], {
  $id: 'MCPReply',
});

/** An error has the form of its request: a JSON-RPC message gets a JSON-RPC error. */
export const McpRefusalSchema = Type.Union([ErrorSchema, JsonRpcAnswerSchema], {
  $id: 'MCPRefusal',
});
