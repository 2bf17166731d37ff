// http, mcp: tools for the daemon itself and its events.

import { Type } from 'typebox';
import { LIMITS } from '../../../config/limits.ts';
import { Int64 } from '../../../schema/parts.ts';
import {
  AuditReportSchema,
  SystemInfoSchema,
  SystemStatusSchema,
  SystemSummarySchema,
} from '../../../schema/system.ts';
import { systemFacts } from '../../system-facts.ts';
import { listEvents } from '../events.ts';
import { LIMIT } from './arguments.ts';
import { listOf, NumberedEventSchema, outputOf } from './outputs.ts';
import { CHANGES, defineTool, READS, type Tool } from './tool.ts';

const EVENT_PAGE = {
  next_after: Type.Integer({ description: 'The value of after for the next page' }),
  last_sequence: Type.Integer({ description: 'Number of the newest event of all' }),
  lost: Type.Optional(
    Type.Integer({ description: 'Number of requested events that were discarded already' }),
  ),
};

export const SYSTEM_TOOLS: readonly Tool[] = [
  defineTool({
    name: 'volant.events.list',
    scope: 'read',
    description:
      'List what happened to VMs, deployments, plugins and configs, oldest first. Without after: the newest events.',
    input: Type.Object({
      after: Type.Optional(Int64({ description: 'Only events after the event of this number' })),
      ...LIMIT,
    }),
    output: listOf('events', NumberedEventSchema, EVENT_PAGE),
    hints: READS,
    run: ({ engine }, { after, limit = LIMITS.mcpPageDefault }) =>
      listEvents(engine.events, after, limit),
  }),
  defineTool({
    name: 'volant.system.info',
    scope: 'read',
    description: 'Show the version of the daemon, its network, hypervisor and guest kernel.',
    input: Type.Object({}),
    output: outputOf(SystemInfoSchema),
    hints: READS,
    run: systemFacts,
  }),
  defineTool({
    name: 'volant.system.status',
    scope: 'read',
    description: 'Show the number of VMs and the load of the host.',
    input: Type.Object({}),
    output: outputOf(SystemStatusSchema),
    hints: READS,
    run: async ({ engine }) => ({ status: 'ok', ...(await engine.system.status()) }),
  }),
  defineTool({
    name: 'volant.system.summary',
    scope: 'read',
    description: 'Count the VMs by status and by runtime, and the plugins.',
    input: Type.Object({}),
    output: outputOf(SystemSummarySchema),
    hints: READS,
    run: ({ engine }) => engine.system.summary(),
  }),
  defineTool({
    name: 'volant.system.audit',
    scope: 'read',
    description: 'List the differences between the host and the records of the daemon.',
    input: Type.Object({}),
    output: outputOf(AuditReportSchema),
    hints: READS,
    run: ({ engine }) => engine.system.audit(false),
  }),
  defineTool({
    name: 'volant.system.repair',
    scope: 'admin',
    description:
      'Repair differences between the host and the records of the daemon, and list those that remain.',
    input: Type.Object({}),
    output: outputOf(AuditReportSchema),
    hints: CHANGES,
    run: ({ engine }) => engine.system.audit(true),
  }),
];
