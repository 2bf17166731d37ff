// http, mcp: all tools, in the order in which they are listed. Every protocol serves these.

import { type TObject, type TSchema, Type } from 'typebox';
import { StringMap } from '../../../schema/parts.ts';
import { CONFIG_TOOLS } from './config-tools.ts';
import { DEPLOYMENT_TOOLS } from './deployment-tools.ts';
import { DEVICE_TOOLS } from './device-tools.ts';
import { EXEC_TOOLS } from './guests/exec-tools.ts';
import { FILE_TOOLS } from './guests/file-tools.ts';
import { GUEST_TOOLS } from './guests/guest-tools.ts';
import { RUN_TOOLS } from './guests/run-tools.ts';
import { IMAGE_TOOLS } from './image-tools.ts';
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
  ...EXEC_TOOLS,
  ...FILE_TOOLS,
  ...RUN_TOOLS,
  ...IMAGE_TOOLS,
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

/** Name of a parameter -> a text for a person, such as "integer, optional: MiB; 0 means: not set". */
function parametersOf(input: TObject): Record<string, string> {
  const required = new Set(input.required);
  return Object.fromEntries(
    Object.entries<TSchema>(input.properties).map(([name, schema]) => {
      const { type, description, anyOf } = schema as {
        type?: string;
        description?: string;
        anyOf?: readonly { type?: string; description?: string }[];
      };
      // A nullable parameter is a union of its type and null.
      const text = description ?? anyOf?.[0]?.description;
      const kind = `${type ?? anyOf?.[0]?.type ?? 'any'}, ${required.has(name) ? 'required' : 'optional'}`;
      return [name, text === undefined ? kind : `${kind}: ${text}`];
    }),
  );
}
