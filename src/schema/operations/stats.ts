// schema, operations: figures of VMs, of the host and of the daemon.

import { Type } from 'typebox';
import { LIMITS } from '../../config/limits.ts';
import { Int64 } from '../parts.ts';
import { SystemLoadSchema, VmStatsSchema } from '../stats.ts';
import { errors, type Operation } from './operation.ts';

export const STATS_OPERATIONS = {
  getMetrics: {
    scope: 'read',
    method: 'GET',
    path: '/metrics',
    tags: ['system'],
    summary: 'Metrics for Prometheus',
    description:
      'In the text format of Prometheus, or in OpenMetrics if Accept asks for it. They are of all VMs, so a key with a prefix of names may not read them.',
    headers: ['accept'],
    answers: {
      200: {
        description: 'The metrics',
        contentType: 'text/plain; version=0.0.4; charset=utf-8',
        schema: Type.String(),
        otherwise: {
          'application/openmetrics-text; version=1.0.0; charset=utf-8': Type.String(),
        },
      },
      ...errors(500, 503),
    },
  },
  getVMStats: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/vms/{name}/stats',
    tags: ['vm'],
    summary: 'Get what a VM uses',
    description:
      'CPU time, memory, network and disks, as the kernel and the hypervisor count them. Of a VM without a hypervisor all figures are null.',
    answers: {
      200: { description: 'The figures', schema: VmStatsSchema },
      ...errors(404, 500, 503),
    },
  },
  listVMStats: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/stats/vms',
    tags: ['vm'],
    summary: 'List what running VMs use',
    description: 'VMs whose hypervisor runs, by name, in pages.',
    query: [
      {
        name: 'limit',
        description: `At most ${LIMITS.statsPageMax}, which is the default`,
        schema: Int64({ maximum: LIMITS.statsPageMax }),
      },
      { name: 'offset', description: 'Number of VMs to skip', schema: Int64() },
    ],
    answers: {
      200: {
        description: 'The figures of each VM',
        schema: Type.Array(VmStatsSchema),
        headers: {
          'X-Total-Count': {
            description: 'Number of running VMs before limit and offset',
            schema: Int64(),
          },
        },
      },
      ...errors(400, 500, 503),
    },
  },
  getSystemLoad: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/system/load',
    tags: ['system'],
    summary: 'Get the load of host and daemon',
    answers: {
      200: { description: 'The figures', schema: SystemLoadSchema },
      ...errors(500, 503),
    },
  },
} as const satisfies Record<string, Operation>;
