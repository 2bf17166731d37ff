// schema: every operation of the API as data: method, path, parameters, request, answers. The router
// binds handlers to it and the OpenAPI document is generated from it, so the two cannot disagree.

import { type TSchema, Type } from 'typebox';
import { LIMITS } from '../config.ts';
import { ConfigEnvelopeSchema, ConfigHistorySchema, ConfigPatchSchema } from './config-patch.ts';
import { CreateDeploymentSchema, DeploymentSchema, PatchDeploymentSchema } from './deployment.ts';
import { DryRunSchema } from './dry-run.ts';
import { ErrorSchema } from './error.ts';
import { ManifestSchema } from './manifest.ts';
import { PluginEnabledSchema, PluginListSchema } from './plugin.ts';
import { HealthSchema, SystemInfoSchema, SystemStatusSchema } from './system.ts';
import { CreateVmSchema, VM_STATUSES, VmSchema } from './vm.ts';

export interface QueryParameter {
  readonly name: string;
  readonly description: string;
  readonly schema: TSchema;
}

export interface OperationAnswer {
  readonly description: string;
  readonly schema?: TSchema;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, { description: string; schema: TSchema }>>;
}

export interface Operation {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Parameters in braces: /api/v1/vms/{name}. */
  readonly path: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description?: string;
  readonly query?: readonly QueryParameter[];
  /** Request headers that the operation looks at, in lower case. */
  readonly headers?: readonly string[];
  readonly request?: { readonly schema: TSchema; readonly bytesMax: number };
  readonly answers: Readonly<Record<number, OperationAnswer>>;
}

const ERROR_TEXTS = {
  400: 'Bad request',
  401: 'API key missing or wrong',
  403: 'Client address not allowed',
  404: 'Not found',
  408: 'What was waited for has not happened yet; it goes on',
  409: 'Conflict',
  412: 'The config has another version than expected',
  413: 'Body too large',
  500: 'Internal error',
  503: 'Too much at once, or shutting down; try again later',
} as const;

function errors(...statuses: (keyof typeof ERROR_TEXTS)[]): Record<number, OperationAnswer> {
  const all = [...statuses, 401, 403] as const;
  return Object.fromEntries(
    all.map((status) => [status, { description: ERROR_TEXTS[status], schema: ErrorSchema }]),
  );
}

const WAIT: readonly QueryParameter[] = [
  {
    name: 'wait',
    description: 'accepted (on disk), running, or ready (its health check passes)',
    schema: Type.String(),
  },
  {
    name: 'timeout',
    description: 'Longest wait in milliseconds; 408 after it, while the operation goes on',
    schema: Type.Integer({ minimum: 0, maximum: LIMITS.waitTimeoutMaxMs }),
  },
];

const DRY_RUN: QueryParameter = {
  name: 'dry_run',
  description: 'true tells what would be done or refused, and does nothing',
  schema: Type.Boolean(),
};

const STREAM_QUERY: readonly QueryParameter[] = [
  {
    name: 'after',
    description: 'Replay what came after the event of this number',
    schema: Type.Integer({ minimum: 0 }),
  },
  { name: 'name', description: 'Only events of these names', schema: Type.String() },
  { name: 'type', description: 'Only events of these types', schema: Type.String() },
  { name: 'deployment', description: 'Only events of these deployments', schema: Type.String() },
];

const eventStream = {
  200: { description: 'Event stream (text/event-stream)', contentType: 'text/event-stream' },
  ...errors(400, 503),
};

const vmAnswer = (description: string): OperationAnswer => ({ description, schema: VmSchema });

export const OPERATIONS = {
  getHealth: {
    method: 'GET',
    path: '/healthz',
    tags: ['health'],
    summary: 'Health check',
    answers: {
      200: { description: 'Service is healthy', schema: HealthSchema },
      503: { description: 'The state cannot be written', schema: HealthSchema },
    },
  },
  getOpenAPI: {
    method: 'GET',
    path: '/openapi',
    tags: ['system'],
    summary: 'This document',
    answers: {
      200: { description: 'OpenAPI document', schema: Type.Object({}) },
      ...errors(),
    },
  },
  getSystemInfo: {
    method: 'GET',
    path: '/api/v1/system/info',
    tags: ['system'],
    summary: 'Get system information',
    answers: {
      200: { description: 'System information', schema: SystemInfoSchema },
      ...errors(500),
    },
  },
  getSystemStatus: {
    method: 'GET',
    path: '/api/v1/system/status',
    tags: ['status'],
    summary: 'System status summary',
    answers: {
      200: { description: 'Current VM count and resource usage', schema: SystemStatusSchema },
      ...errors(500, 503),
    },
  },
  streamVMEvents: {
    method: 'GET',
    path: '/api/v1/events/vms',
    tags: ['events'],
    summary: 'Stream VM lifecycle events',
    description:
      'Server-Sent Events. The id of an event is its number; numbers are dense and go on over restarts. Last-Event-ID or ?after= resumes.',
    query: STREAM_QUERY,
    headers: ['last-event-id'],
    answers: eventStream,
  },
  streamEvents: {
    method: 'GET',
    path: '/api/v1/events',
    tags: ['events'],
    summary: 'Stream all events',
    description: 'VMs, deployments, plugins and configs; otherwise as streamVMEvents.',
    query: STREAM_QUERY,
    headers: ['last-event-id'],
    answers: eventStream,
  },
  listVMs: {
    method: 'GET',
    path: '/api/v1/vms',
    tags: ['vm'],
    summary: 'List VMs',
    query: [
      {
        name: 'status',
        description: `Any of ${VM_STATUSES.join(', ')}; repeated or separated by commas`,
        schema: Type.String(),
      },
      { name: 'runtime', description: 'Equal, ignoring case', schema: Type.String() },
      { name: 'plugin', description: 'Equal, ignoring case', schema: Type.String() },
      { name: 'q', description: 'Part of name, address or runtime', schema: Type.String() },
      {
        name: 'sort',
        description: 'name, status, runtime, created_at (default) or updated_at',
        schema: Type.String(),
      },
      { name: 'order', description: 'asc (default) or desc', schema: Type.String() },
      {
        name: 'limit',
        description: '0 answers no VMs but the count',
        schema: Type.Integer({ minimum: 0 }),
      },
      { name: 'offset', description: 'VMs to skip', schema: Type.Integer({ minimum: 0 }) },
    ],
    answers: {
      200: {
        description: 'Array of VMs',
        schema: Type.Array(VmSchema),
        headers: {
          'X-Total-Count': {
            description: 'Matching VMs before limit and offset',
            schema: Type.Integer(),
          },
        },
      },
      ...errors(400, 500),
    },
  },
  createVM: {
    method: 'POST',
    path: '/api/v1/vms',
    tags: ['vm'],
    summary: 'Create VM',
    description: 'Answers when the hypervisor runs and its control socket answered.',
    query: [...WAIT, DRY_RUN],
    request: { schema: CreateVmSchema, bytesMax: LIMITS.manifestBytesMax },
    answers: {
      200: { description: 'What would be done (dry_run=true)', schema: DryRunSchema },
      201: vmAnswer('VM created'),
      202: vmAnswer('VM accepted (wait=accepted)'),
      ...errors(400, 404, 408, 409, 413, 500, 503),
    },
  },
  getVMByName: {
    method: 'GET',
    path: '/api/v1/vms/{name}',
    tags: ['vm'],
    summary: 'Fetch VM by name',
    answers: { 200: vmAnswer('VM'), ...errors(404, 500) },
  },
  destroyVM: {
    method: 'DELETE',
    path: '/api/v1/vms/{name}',
    tags: ['vm'],
    summary: 'Destroy VM',
    answers: { 204: { description: 'Deleted' }, ...errors(404, 409, 500, 503) },
  },
  startVM: {
    method: 'POST',
    path: '/api/v1/vms/{name}/start',
    tags: ['vm'],
    summary: 'Start a stopped VM',
    query: WAIT,
    answers: {
      200: vmAnswer('VM started'),
      202: vmAnswer('Start accepted (wait=accepted)'),
      ...errors(400, 404, 408, 409, 500, 503),
    },
  },
  stopVM: {
    method: 'POST',
    path: '/api/v1/vms/{name}/stop',
    tags: ['vm'],
    summary: 'Stop a running VM',
    description: 'The guest is asked to power off first. Stopping a stopped VM changes nothing.',
    answers: { 200: vmAnswer('VM stopped'), ...errors(404, 409, 500, 503) },
  },
  restartVM: {
    method: 'POST',
    path: '/api/v1/vms/{name}/restart',
    tags: ['vm'],
    summary: 'Restart a VM',
    query: WAIT,
    answers: {
      200: vmAnswer('VM restarted'),
      202: vmAnswer('Restart accepted (wait=accepted)'),
      ...errors(400, 404, 408, 409, 500, 503),
    },
  },
  getVMConfig: {
    method: 'GET',
    path: '/api/v1/vms/{name}/config',
    tags: ['vm', 'config'],
    summary: 'Get VM configuration',
    answers: {
      200: { description: 'VM configuration', schema: ConfigEnvelopeSchema },
      ...errors(404, 500),
    },
  },
  updateVMConfig: {
    method: 'PATCH',
    path: '/api/v1/vms/{name}/config',
    tags: ['vm', 'config'],
    summary: 'Update VM configuration',
    description:
      'One new version, which the next start uses. With If-Match (or expected_version) only on that version.',
    query: [DRY_RUN],
    headers: ['if-match'],
    request: { schema: ConfigPatchSchema, bytesMax: LIMITS.manifestBytesMax },
    answers: {
      200: { description: 'Configuration updated', schema: ConfigEnvelopeSchema },
      ...errors(400, 404, 409, 412, 413, 500, 503),
    },
  },
  getVMConfigHistory: {
    method: 'GET',
    path: '/api/v1/vms/{name}/config/history',
    tags: ['vm', 'config'],
    summary: 'Get VM configuration history',
    description: 'Newest first, the current version included.',
    query: [
      {
        name: 'limit',
        description: '0 or absent: all that are kept',
        schema: Type.Integer({ minimum: 0 }),
      },
    ],
    answers: {
      200: { description: 'Configuration history', schema: ConfigHistorySchema },
      ...errors(400, 404, 500),
    },
  },
  listDeployments: {
    method: 'GET',
    path: '/api/v1/deployments',
    tags: ['deployment'],
    summary: 'List deployments',
    answers: {
      200: { description: 'Array of deployments', schema: Type.Array(DeploymentSchema) },
      ...errors(500),
    },
  },
  createDeployment: {
    method: 'POST',
    path: '/api/v1/deployments',
    tags: ['deployment'],
    summary: 'Create deployment',
    description: 'Answers when the replicas are ready, at the latest after 25 s, with the counts.',
    query: [...WAIT, DRY_RUN],
    request: { schema: CreateDeploymentSchema, bytesMax: LIMITS.manifestBytesMax },
    answers: {
      200: { description: 'What would be done (dry_run=true)', schema: DryRunSchema },
      201: { description: 'Deployment created', schema: DeploymentSchema },
      ...errors(400, 404, 408, 409, 413, 500, 503),
    },
  },
  getDeployment: {
    method: 'GET',
    path: '/api/v1/deployments/{name}',
    tags: ['deployment'],
    summary: 'Get deployment',
    answers: {
      200: { description: 'Deployment details', schema: DeploymentSchema },
      ...errors(404, 500),
    },
  },
  scaleDeployment: {
    method: 'PATCH',
    path: '/api/v1/deployments/{name}',
    tags: ['deployment'],
    summary: 'Scale deployment',
    description:
      'Another number of replicas, or another config, which replaces them one after the other.',
    query: [...WAIT, DRY_RUN],
    request: { schema: PatchDeploymentSchema, bytesMax: LIMITS.manifestBytesMax },
    answers: {
      200: { description: 'Deployment scaled', schema: DeploymentSchema },
      ...errors(400, 404, 408, 409, 413, 500, 503),
    },
  },
  deleteDeployment: {
    method: 'DELETE',
    path: '/api/v1/deployments/{name}',
    tags: ['deployment'],
    summary: 'Delete deployment',
    answers: { 204: { description: 'Deleted' }, ...errors(404, 500, 503) },
  },
  listPlugins: {
    method: 'GET',
    path: '/api/v1/plugins',
    tags: ['plugins'],
    summary: 'List plugins',
    answers: {
      200: { description: 'List of plugin names', schema: PluginListSchema },
      ...errors(500),
    },
  },
  installPlugin: {
    method: 'POST',
    path: '/api/v1/plugins',
    tags: ['plugins'],
    summary: 'Install plugin',
    description:
      'Replaces a plugin of the same name; VMs keep the manifest they were created with.',
    request: { schema: ManifestSchema, bytesMax: LIMITS.manifestBytesMax },
    answers: { 201: { description: 'Plugin installed' }, ...errors(400, 413, 500, 503) },
  },
  getPlugin: {
    method: 'GET',
    path: '/api/v1/plugins/{plugin}',
    tags: ['plugins'],
    summary: 'Get plugin',
    answers: { 200: { description: 'Plugin manifest', schema: ManifestSchema }, ...errors(404) },
  },
  removePlugin: {
    method: 'DELETE',
    path: '/api/v1/plugins/{plugin}',
    tags: ['plugins'],
    summary: 'Remove plugin',
    answers: { 204: { description: 'Plugin removed' }, ...errors(404, 500, 503) },
  },
  setPluginEnabled: {
    method: 'POST',
    path: '/api/v1/plugins/{plugin}/enabled',
    tags: ['plugins'],
    summary: 'Set plugin enabled status',
    request: { schema: PluginEnabledSchema, bytesMax: LIMITS.bodyBytesMax },
    answers: { 200: { description: 'Status updated' }, ...errors(400, 404, 413, 500, 503) },
  },
} as const satisfies Record<string, Operation>;

export type OperationId = keyof typeof OPERATIONS;
