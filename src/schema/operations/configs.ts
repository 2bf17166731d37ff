// schema, operations: the configs of VMs.

import { Type } from 'typebox';
import { LIMITS } from '../../config/limits.ts';
import { ConfigEnvelopeSchema, ConfigHistorySchema, ConfigPatchSchema } from '../config-patch.ts';
import { Int64 } from '../parts.ts';
import { DRY_RUN, errors, type Operation } from './operation.ts';

const ETAG = {
  ETag: { description: 'The version, for If-Match', schema: Type.String({ pattern: '^"\\d+"$' }) },
};

export const CONFIG_OPERATIONS = {
  getVMConfig: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/vms/{name}/config',
    tags: ['vm', 'config'],
    summary: 'Get VM configuration',
    answers: {
      200: { description: 'VM configuration', schema: ConfigEnvelopeSchema, headers: ETAG },
      ...errors(404, 500),
    },
  },
  updateVMConfig: {
    scope: 'operate',
    method: 'PATCH',
    path: '/api/v1/vms/{name}/config',
    tags: ['vm', 'config'],
    summary: 'Update VM configuration',
    description:
      'Creates a new version, which the next start uses. With If-Match (or expected_version), only if that is the newest version.',
    query: [DRY_RUN],
    headers: ['if-match'],
    request: { schema: ConfigPatchSchema, bytesMax: LIMITS.manifestBytesMax },
    answers: {
      200: { description: 'Configuration updated', schema: ConfigEnvelopeSchema, headers: ETAG },
      ...errors(400, 404, 409, 412, 413, 500, 503),
    },
  },
  getVMConfigHistory: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/vms/{name}/config/history',
    tags: ['vm', 'config'],
    summary: 'Get VM configuration history',
    description: 'Newest first, the current version included.',
    query: [
      {
        name: 'limit',
        description: '0 or absent: all stored versions',
        schema: Int64(),
      },
    ],
    answers: {
      200: { description: 'Configuration history', schema: ConfigHistorySchema },
      ...errors(400, 404, 500),
    },
  },
} as const satisfies Record<string, Operation>;
