// schema, operations: what is asked of guests. Streams to them (the proxy to agents, WebSockets) have no
// place in this table: docs/api.md describes them.

import { Type } from 'typebox';
import { LIMITS } from '../../config.ts';
import { Documented, MapOf, OneOf } from '../parts.ts';
import { errors, type Operation } from './operation.ts';

export const GUEST_OPERATIONS = {
  getVMOpenAPI: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/vms/{name}/openapi',
    tags: ['vm'],
    summary: 'Get VM plugin OpenAPI spec',
    description:
      "The workload's own document (/openapi of the workload), else the one that its manifest names. One in YAML is answered as JSON; format=raw answers what is there, with its content type.",
    query: [
      {
        name: 'format',
        description: 'json (default), or raw: as it is, in JSON or YAML',
        schema: OneOf(['json', 'raw'], 'Form of the answer'),
      },
    ],
    answers: {
      200: {
        description: 'OpenAPI specification',
        schema: MapOf(Type.Unknown()),
        otherwise: { 'application/yaml': Type.String() },
      },
      ...errors(400, 404, 500, 502, 503),
    },
  },
  getVMConsoleLog: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/vms/{name}/console-log',
    tags: ['vm'],
    summary: 'What the guest printed last',
    description: `The end of its console, what its workload wrote included: the last ${LIMITS.consoleReplayBytesMax / 1024} KiB of this run, or of the last one where the VM does not run. Kept until the VM is deleted.`,
    answers: {
      200: { description: 'Text', schema: Type.String(), contentType: 'text/plain' },
      ...errors(404, 500, 503),
    },
  },
  runVMAction: {
    scope: 'operate',
    method: 'POST',
    path: '/api/v1/vms/{name}/actions/{plugin}/{action}',
    tags: ['vm'],
    summary: 'Run an action of the manifest in a VM',
    description:
      'The body is handed to the workload. Where it refuses, its status is answered, with the code ACTION_FAILED.',
    request: {
      schema: Documented(MapOf(Type.Unknown()), { description: 'Whatever the action takes' }),
      bytesMax: LIMITS.bodyBytesMax,
    },
    answers: {
      200: { description: 'The JSON that the workload answered', schema: Type.Unknown() },
      202: { description: 'The workload answered with nothing' },
      ...errors(400, 404, 409, 413, 502, 503),
    },
  },
} as const satisfies Record<string, Operation>;
