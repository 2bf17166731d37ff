// schema, operations: plugins.

import { LIMITS } from '../../config/limits.ts';
import { ManifestSchema } from '../manifest.ts';
import { PluginEnabledSchema, PluginListSchema } from '../plugin.ts';
import { errors, type Operation } from './operation.ts';

export const PLUGIN_OPERATIONS = {
  listPlugins: {
    scope: 'read',
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
    scope: 'admin',
    method: 'POST',
    path: '/api/v1/plugins',
    tags: ['plugins'],
    summary: 'Install plugin',
    description:
      'Replaces a plugin of the same name; existing VMs keep the manifest they were created with.',
    request: { schema: ManifestSchema, bytesMax: LIMITS.manifestBytesMax },
    answers: { 201: { description: 'Plugin installed' }, ...errors(400, 413, 500, 503) },
  },
  getPlugin: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/plugins/{plugin}',
    tags: ['plugins'],
    summary: 'Get plugin',
    answers: { 200: { description: 'Plugin manifest', schema: ManifestSchema }, ...errors(404) },
  },
  removePlugin: {
    scope: 'admin',
    method: 'DELETE',
    path: '/api/v1/plugins/{plugin}',
    tags: ['plugins'],
    summary: 'Remove plugin',
    answers: { 204: { description: 'Plugin removed' }, ...errors(404, 500, 503) },
  },
  setPluginEnabled: {
    scope: 'admin',
    method: 'POST',
    path: '/api/v1/plugins/{plugin}/enabled',
    tags: ['plugins'],
    summary: 'Set plugin enabled status',
    request: { schema: PluginEnabledSchema, bytesMax: LIMITS.bodyBytesMax },
    answers: { 200: { description: 'Status updated' }, ...errors(400, 404, 413, 500, 503) },
  },
} as const satisfies Record<string, Operation>;
