// schema, operations: the endpoint for agents.

import { LIMITS } from '../../config.ts';
import { McpReplySchema, McpRequestSchema } from '../mcp.ts';
import { errors, type Operation } from './operation.ts';

export const MCP_OPERATIONS = {
  postMCPCommand: {
    scope: 'read',
    method: 'POST',
    path: '/api/v1/mcp',
    tags: ['mcp'],
    summary: 'Model Context Protocol endpoint',
    description:
      'Takes a command as described here, or a JSON-RPC message of the Model Context Protocol, revisions 2024-11-05 to 2026-07-28 (Streamable HTTP, no sessions). A batch of messages, which revision 2025-03-26 has, is an array and is answered with one.',
    headers: ['mcp-protocol-version', 'mcp-method', 'mcp-name'],
    request: { schema: McpRequestSchema, bytesMax: LIMITS.manifestBytesMax, raw: true },
    answers: {
      200: {
        description: 'MCP response; a command that failed says so in error',
        schema: McpReplySchema,
      },
      202: { description: 'A JSON-RPC notification was taken' },
      ...errors(400, 404, 413, 500, 503),
    },
  },
} as const satisfies Record<string, Operation>;
