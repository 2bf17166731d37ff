// http, mcp: all tools, in the order in which they are listed. Every dialect serves these.

import { type TObject, type TSchema, Type } from 'typebox';
import { StringMap } from '../../schema/parts.ts';
import { CONFIG_TOOLS } from './config-tools.ts';
import { DEPLOYMENT_TOOLS } from './deployment-tools.ts';
import { DEVICE_TOOLS } from './device-tools.ts';
import { GUEST_TOOLS } from './guest-tools.ts';
import { listOf } from './outputs.ts';
import { PLUGIN_TOOLS } from './plugin-tools.ts';
import { SYSTEM_TOOLS } from './system-tools.ts';
import { defineTool, READS, type Tool } from './tool.ts';
import { VM_TOOLS } from './vm-tools.ts';
import { WAIT_TOOLS } from './wait-tools.ts';

const CapabilitySchema = Type.Object({
  name: Type.String(),
  description: Type.String(),
  params: StringMap,
});

const capabilities = defineTool({
  name: 'volant.system.get_capabilities',
  scope: 'read',
  description: 'List all commands with their parameters.',
  input: Type.Object({}),
  output: listOf('capabilities', CapabilitySchema),
  hints: READS,
  run: () => ({
    capabilities: TOOLS.map(({ name, description, input }) => ({
      name,
      description,
      params: parametersOf(input),
    })),
  }),
});

export const TOOLS: readonly Tool[] = [
  ...VM_TOOLS,
  ...GUEST_TOOLS,
  ...CONFIG_TOOLS,
  ...DEPLOYMENT_TOOLS,
  ...WAIT_TOOLS,
  ...PLUGIN_TOOLS,
  ...DEVICE_TOOLS,
  ...SYSTEM_TOOLS,
  capabilities,
];

const TOOLS_BY_NAME: ReadonlyMap<string, Tool> = new Map(TOOLS.map((tool) => [tool.name, tool]));

export function findTool(name: string): Tool | undefined {
  return TOOLS_BY_NAME.get(name);
}

/** name -> a text for a person, such as "integer, optional: MiB; 0 means: not set". */
function parametersOf(input: TObject): Record<string, string> {
  const required = new Set(input.required);
  return Object.fromEntries(
    Object.entries<TSchema>(input.properties).map(([name, schema]) => {
      const { type, description, anyOf } = schema as {
        type?: string;
        description?: string;
        anyOf?: readonly { type?: string; description?: string }[];
      };
      // What may be null is a union of itself and null.
      const text = description ?? anyOf?.[0]?.description;
      const kind = `${type ?? anyOf?.[0]?.type ?? 'any'}, ${required.has(name) ? 'required' : 'optional'}`;
      return [name, text === undefined ? kind : `${kind}: ${text}`];
    }),
  );
}
