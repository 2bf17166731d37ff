// schema: the request and the answer of Volant's own commands, the first of the dialects of the MCP
// endpoint. The other two are JSON-RPC messages, whose shapes the protocol defines.

import { Type } from 'typebox';
import { MapOf } from './parts.ts';

export const McpRequestSchema = Type.Object({
  command: Type.String({ description: 'A name of volant.system.get_capabilities' }),
  params: Type.Optional(MapOf(Type.Unknown())),
});

export const McpAnswerSchema = Type.Object({
  result: Type.Unknown({ description: 'null when the command failed' }),
  error: Type.Optional(Type.String({ description: 'Why the command failed' })),
});
