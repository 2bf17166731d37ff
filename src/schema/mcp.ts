// schema: the requests and answers of the MCP endpoint. Volant's own commands are the first of its dialects; the others are
// JSON-RPC messages, whose further shape the protocol defines.

import { Type } from 'typebox';
import { Int64, MapOf } from './parts.ts';

/** Its type is in words: generators for several languages have none for one of two primitive types. */
const Id = Type.Unknown({
  description: 'A string or a whole number, of the message; an answer has that of its request',
});

const Version = Type.Unsafe<'2.0'>({ type: 'string', enum: ['2.0'] });

export const McpRequestSchema = Type.Object(
  {
    command: Type.Optional(
      Type.String({ description: 'A name of volant.system.get_capabilities; none in JSON-RPC' }),
    ),
    params: Type.Optional(MapOf(Type.Unknown())),
    jsonrpc: Type.Optional(Version),
    id: Type.Optional(Id),
    method: Type.Optional(Type.String({ description: 'Of a JSON-RPC message' })),
  },
  { $id: 'MCPRequest', description: 'A command, or a JSON-RPC message' },
);

export const McpAnswerSchema = Type.Object(
  {
    result: Type.Unknown({ description: 'null when the command failed' }),
    error: Type.Optional(Type.String({ description: 'Why the command failed' })),
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
