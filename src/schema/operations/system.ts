// schema, operations: the daemon itself.

import { Type } from 'typebox';
import { MapOf } from '../parts.ts';
import {
  AuditReportSchema,
  HealthSchema,
  SystemInfoSchema,
  SystemStatusSchema,
  SystemSummarySchema,
} from '../system.ts';
import { errors, type Operation } from './operation.ts';

export const SYSTEM_OPERATIONS = {
  getHealth: {
    scope: 'none',
    method: 'GET',
    path: '/healthz',
    tags: ['health'],
    summary: 'Health check',
    answers: {
      200: { description: 'Service is healthy', schema: HealthSchema },
      503: { description: 'The daemon is degraded; reasons says why', schema: HealthSchema },
    },
  },
  getOpenAPI: {
    scope: 'read',
    method: 'GET',
    path: '/openapi',
    tags: ['system'],
    summary: 'This document',
    answers: {
      200: { description: 'OpenAPI document', schema: MapOf(Type.Unknown()) },
      ...errors(),
    },
  },
  getSystemInfo: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/system/info',
    tags: ['system'],
    summary: 'Get system information',
    answers: {
      200: { description: 'System information', schema: SystemInfoSchema },
      ...errors(500),
    },
  },
  backupState: {
    scope: 'admin',
    method: 'GET',
    path: '/api/v1/system/backup',
    tags: ['system'],
    summary: 'Get a backup of all records',
    description:
      'A consistent copy of the records, made while the daemon runs; `volantd --restore FILE` restores it. Disks and images are not included.',
    answers: {
      200: {
        description: 'The copy',
        contentType: 'application/octet-stream',
        schema: Type.String({ format: 'binary' }),
        headers: {
          'Content-Disposition': { description: 'A file name', schema: Type.String() },
        },
      },
      ...errors(500, 503),
    },
  },
  getSystemSummary: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/system/summary',
    tags: ['system'],
    summary: 'Count VMs and plugins',
    answers: {
      200: { description: 'Counts for an overview', schema: SystemSummarySchema },
      ...errors(500),
    },
  },
  auditSystem: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/system/audit',
    tags: ['system'],
    summary: 'Compare the host with the records',
    query: [
      {
        name: 'repair',
        description:
          'true repairs differences and returns those that remain; needs the scope admin',
        schema: Type.Boolean(),
      },
    ],
    answers: {
      200: { description: 'The differences', schema: AuditReportSchema },
      ...errors(400, 500, 503),
    },
  },
  getSystemStatus: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/system/status',
    tags: ['status'],
    summary: 'System status summary',
    answers: {
      200: { description: 'Current VM count and resource usage', schema: SystemStatusSchema },
      ...errors(500, 503),
    },
  },
} as const satisfies Record<string, Operation>;
