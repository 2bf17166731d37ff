// http, mcp: the methods that all MCP revisions share. legacy.ts and modern.ts add what is particular to a revision.

import { VERSION } from '../../lib/version.ts';
import { plainSchema } from '../../schema/openapi/openapi-schemas.ts';
import { RPC, RpcError, type RpcMessage } from './json-rpc.ts';
import { listResources, RESOURCE_TEMPLATES, readResource } from './resources.ts';
import { errorText, type ToolContext, toolError } from './tools/tool.ts';
import { findTool, TOOLS } from './tools/tools.ts';

export const SERVER_INFO = { name: 'volant', title: 'Volant', version: VERSION };

export const INSTRUCTIONS =
  'Volant runs microVMs on one Linux host. A VM is made of a plugin: list the plugins, then create VMs or a deployment, which keeps a number of equal VMs running. Inside of a VM act volant.vms.request, action, logs and console. Most tools that change something take dry_run or wait. Errors have a code and say which argument is wrong.';

/** Revisions with a handshake, newest first. */
export const LEGACY_VERSIONS = ['2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05'] as const;

/** The revision whose requests are self-contained. */
export const MODERN_VERSION = '2026-07-28';

/** `fixed`: the same until the daemon is replaced. `live`: valid at this moment only. */
export type Freshness = 'fixed' | 'live';

interface Method {
  /** undefined: clients must not cache the result. */
  readonly freshness?: Freshness;
  run(context: ToolContext, params: RpcMessage['params']): object | Promise<object>;
}

const TOOL_LIST = TOOLS.map(({ name, description, input, output, hints }) => ({
  name,
  description,
  inputSchema: { ...plainSchema(input), additionalProperties: false },
  outputSchema: output,
  annotations: { ...hints, openWorldHint: false },
}));

const METHODS: Readonly<Record<string, Method>> = {
  'tools/list': {
    freshness: 'fixed',
    run: (_context, params) => {
      refuseCursor(params);
      return { tools: TOOL_LIST };
    },
  },
  'tools/call': { run: callTool },
  'resources/list': {
    freshness: 'live',
    run: ({ engine }, { cursor }) => listResources(engine, cursor),
  },
  'resources/templates/list': {
    freshness: 'fixed',
    run: (_context, params) => {
      refuseCursor(params);
      return { resourceTemplates: RESOURCE_TEMPLATES };
    },
  },
  'resources/read': {
    freshness: 'live',
    run: ({ engine }, { uri }) => readResource(engine, textOf('uri', uri)),
  },
};

export function findMethod(name: string): Method | undefined {
  return Object.hasOwn(METHODS, name) ? METHODS[name] : undefined;
}

/** An unknown tool is a protocol error. A tool that fails is a result with `isError`. */
async function callTool(context: ToolContext, params: RpcMessage['params']): Promise<object> {
  const name = textOf('name', params['name']);
  const tool = findTool(name);
  if (tool === undefined) throw new RpcError(RPC.invalidParams, `Unknown tool: ${name}`);
  try {
    const result = await tool.call(context, params['arguments'] ?? {});
    return { content: [textContent(JSON.stringify(result))], structuredContent: result };
  } catch (thrown) {
    const error = toolError(context, name, thrown);
    const { code, message, details } = error;
    return {
      content: [textContent(`${code}: ${errorText(error)}`)],
      structuredContent: { error: message, code, ...(details === undefined ? {} : { details }) },
      isError: true,
    };
  }
}

function textContent(text: string) {
  return { type: 'text', text };
}

/** These lists have one page only. */
function refuseCursor({ cursor }: RpcMessage['params']): void {
  if (cursor !== undefined) throw new RpcError(RPC.invalidParams, 'The cursor is invalid');
}

function textOf(name: string, value: unknown): string {
  if (typeof value === 'string') return value;
  throw new RpcError(RPC.invalidParams, `${name} must be a string`);
}
