// schema, operations: the MCP endpoint.

import { LIMITS } from '../../config/limits.ts';
import { McpRefusalSchema, McpReplySchema, McpRequestSchema } from '../mcp.ts';
import { errors, type Operation } from './operation.ts';

export const MCP_OPERATIONS = {
  postMCPCommand: {
    scope: 'read',
    method: 'POST',
    path: '/api/v1/mcp',
    tags: ['mcp'],
    summary: 'Model Context Protocol endpoint',
    description:
      'Takes a command as described here, or a JSON-RPC message of the Model Context Protocol, revisions 2024-11-05 to 2026-07-28 (Streamable HTTP, no sessions). A batch of messages (revision 2025-03-26) is an array, and so is its answer.',
    headers: ['mcp-protocol-version', 'mcp-method', 'mcp-name'],
    request: { schema: McpRequestSchema, bytesMax: LIMITS.manifestBytesMax, raw: true },
    answers: {
      200: {
        description: 'MCP response; error is set if the command failed',
        schema: McpReplySchema,
      },
      202: { description: 'A JSON-RPC notification was accepted' },
      ...errors(413, 500, 503),
      400: {
        description: 'Bad request; a JSON-RPC message gets a JSON-RPC error',
        schema: McpRefusalSchema,
      },
      404: { description: 'Unknown JSON-RPC method', schema: McpRefusalSchema },
    },
  },
} as const satisfies Record<string, Operation>;
