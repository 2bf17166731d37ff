// http, routes: the manifest of a plugin as guests read it, and the records of its artifacts.

import { VolantError } from '../../lib/errors.ts';
import type { ArtifactInput } from '../../schema/artifact.ts';
import { Query } from '../exchange/query.ts';
import { empty, json } from '../exchange/reply.ts';
import type { Handlers } from '../handlers.ts';

export const artifactRoutes = {
  getPluginManifest: ({ engine }, { parameters: [plugin = ''] }) =>
    json(200, engine.plugins.enabledManifest(plugin)),
  listPluginArtifacts: ({ engine }, { parameters: [plugin = ''], query }) =>
    json(200, engine.artifacts.list(plugin, new Query(query).text('version'))),
  putPluginArtifact: async ({ engine }, { parameters: [plugin = ''] }, body) => {
    await engine.artifacts.put(plugin, body as ArtifactInput);
    return empty(201);
  },
  removePluginArtifacts: async ({ engine }, { parameters: [plugin = ''], query }) => {
    await engine.artifacts.remove(plugin, new Query(query).text('version'));
    return empty(204);
  },
  getPluginArtifact: ({ engine }, { parameters: [plugin = '', name = ''], query }) => {
    const version = new Query(query).text('version');
    if (version === undefined) {
      const details = { version: 'is required' };
      throw new VolantError('PARAMETER_INVALID', undefined, { details });
    }
    return json(200, engine.artifacts.get(plugin, version, name));
  },
} satisfies Partial<Handlers>;
