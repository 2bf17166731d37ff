// schema: every operation of the API as data: method, path, parameters, request, answers. The router binds handlers to this
// table and the OpenAPI document is generated from it, so the two always agree.

import { ARTIFACT_OPERATIONS } from './operations/artifacts.ts';
import { CONFIG_OPERATIONS } from './operations/configs.ts';
import { DEPLOYMENT_OPERATIONS } from './operations/deployments.ts';
import { EVENT_OPERATIONS } from './operations/events.ts';
import { EXEC_OPERATIONS } from './operations/execs.ts';
import { FILE_OPERATIONS, FILE_WATCH_OPERATIONS } from './operations/files.ts';
import { GUEST_OPERATIONS } from './operations/guests.ts';
import { IMAGE_OPERATIONS } from './operations/images.ts';
import { MCP_OPERATIONS } from './operations/mcp.ts';
import type { Operation } from './operations/operation.ts';
import { PLUGIN_OPERATIONS } from './operations/plugins.ts';
import { STATS_OPERATIONS } from './operations/stats.ts';
import { SYSTEM_OPERATIONS } from './operations/system.ts';
import { VFIO_OPERATIONS } from './operations/vfio.ts';
import { VM_OPERATIONS } from './operations/vms.ts';

export const OPERATIONS = {
  ...SYSTEM_OPERATIONS,
  ...STATS_OPERATIONS,
  ...EVENT_OPERATIONS,
  ...VM_OPERATIONS,
  ...GUEST_OPERATIONS,
  ...EXEC_OPERATIONS,
  ...FILE_OPERATIONS,
  ...FILE_WATCH_OPERATIONS,
  ...CONFIG_OPERATIONS,
  ...DEPLOYMENT_OPERATIONS,
  ...PLUGIN_OPERATIONS,
  ...ARTIFACT_OPERATIONS,
  ...IMAGE_OPERATIONS,
  ...VFIO_OPERATIONS,
  ...MCP_OPERATIONS,
} as const satisfies Record<string, Operation>;

export type OperationId = keyof typeof OPERATIONS;
