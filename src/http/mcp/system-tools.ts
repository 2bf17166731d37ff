// http, mcp: tools for the daemon itself and its events.

import { Type } from 'typebox';
import { LIMITS } from '../../config.ts';
import { Int64 } from '../../schema/parts.ts';
import { LIMIT } from './arguments.ts';
import { listEvents } from './events.ts';
import { defineTool, READS, type Tool } from './tool.ts';

export const SYSTEM_TOOLS: readonly Tool[] = [
  defineTool({
    name: 'volant.events.list',
    scope: 'read',
    description:
      'List what happened to VMs, deployments, plugins and configs, the oldest first. Without after: the newest events.',
    input: Type.Object({
      after: Type.Optional(Int64({ description: 'Only events after the event of this number' })),
      ...LIMIT,
    }),
    hints: READS,
    run: ({ engine }, { after, limit = LIMITS.mcpPageDefault }) =>
      listEvents(engine.events, after, limit),
  }),
  defineTool({
    name: 'volant.system.info',
    scope: 'read',
    description: 'Show the version of the daemon, its network, hypervisor and guest kernel.',
    input: Type.Object({}),
    hints: READS,
    run: ({ engine }) => engine.system.info(),
  }),
  defineTool({
    name: 'volant.system.status',
    scope: 'read',
    description: 'Show how many VMs there are and how busy the host is.',
    input: Type.Object({}),
    hints: READS,
    run: ({ engine }) => engine.system.status(),
  }),
];
