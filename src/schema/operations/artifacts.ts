// schema, operations: manifests as guests read them, and records about the files of plugins.

import { Type } from 'typebox';
import { LIMITS } from '../../config/limits.ts';
import { ArtifactInputSchema, ArtifactSchema } from '../artifact.ts';
import { ManifestSchema } from '../manifest.ts';
import { errors, type Operation } from './operation.ts';

const VERSION = {
  name: 'version',
  description: 'Only of this version',
  schema: Type.String(),
};

export const ARTIFACT_OPERATIONS = {
  getPluginManifest: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/plugins/{plugin}/manifest',
    tags: ['plugins'],
    summary: 'Get the manifest of an enabled plugin',
    answers: {
      200: { description: 'Plugin manifest', schema: ManifestSchema },
      ...errors(404, 409),
    },
  },
  listPluginArtifacts: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/plugins/{plugin}/artifacts',
    tags: ['plugins'],
    summary: 'List artifact records',
    description: 'Newest version first, then by name.',
    query: [VERSION],
    answers: {
      200: { description: 'Array of records', schema: Type.Array(ArtifactSchema) },
      ...errors(),
    },
  },
  putPluginArtifact: {
    scope: 'admin',
    method: 'POST',
    path: '/api/v1/plugins/{plugin}/artifacts',
    tags: ['plugins'],
    summary: 'Record an artifact',
    description: 'Replaces the record of the same version and name. The plugin need not exist.',
    request: { schema: ArtifactInputSchema, bytesMax: LIMITS.bodyBytesMax },
    answers: { 201: { description: 'Recorded' }, ...errors(400, 413, 503) },
  },
  removePluginArtifacts: {
    scope: 'admin',
    method: 'DELETE',
    path: '/api/v1/plugins/{plugin}/artifacts',
    tags: ['plugins'],
    summary: 'Remove artifact records',
    description: 'Removes all records, or those of one version. Files are not deleted.',
    query: [VERSION],
    answers: { 204: { description: 'Removed' }, ...errors(503) },
  },
  getPluginArtifact: {
    scope: 'read',
    method: 'GET',
    path: '/api/v1/plugins/{plugin}/artifacts/{artifact}',
    tags: ['plugins'],
    summary: 'Get an artifact record',
    query: [{ ...VERSION, description: 'The version of the plugin', required: true }],
    answers: {
      200: { description: 'The record', schema: ArtifactSchema },
      ...errors(400, 404),
    },
  },
} as const satisfies Record<string, Operation>;
