// schema, operations: requests that guests answer. Streams to guests (the proxy to agents, WebSockets) have no place in
// this table; docs/api.md describes them.

import { Type } from 'typebox';
import { LIMITS } from '../../config/limits.ts';
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
      "The workload's own document (/openapi of the workload), otherwise the one that its manifest names. YAML is converted to JSON; format=raw returns the document unchanged, with its content type.",
    query: [
      {
        name: 'format',
        description: 'json (default), or raw: unchanged, in JSON or YAML',
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
    summary: 'Get the console log of a VM',
    description: `The end of the console output, including the workload's: the last ${LIMITS.consoleReplayBytesMax / 1024} KiB of the current run, or of the last run if the VM does not run. Kept until the VM is deleted.`,
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
      'The body is sent to the workload. If the workload refuses, its status is returned with the code ACTION_FAILED.',
    request: {
      schema: Documented(MapOf(Type.Unknown()), { description: 'The arguments of the action' }),
      bytesMax: LIMITS.bodyBytesMax,
    },
    answers: {
      200: { description: 'The JSON answer of the workload', schema: Type.Unknown() },
      202: { description: 'The answer of the workload was empty' },
      ...errors(400, 404, 409, 413, 502, 503),
    },
  },
} as const satisfies Record<string, Operation>;
