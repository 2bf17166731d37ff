// http, routes: plugins.

import type { ManifestInput } from '../../schema/manifest.ts';
import { nameIn } from '../exchange/exchange.ts';
import { empty, json } from '../exchange/reply.ts';
import { requested } from '../exchange/request-id.ts';
import type { Handlers } from '../handlers.ts';

export const pluginRoutes = {
  listPlugins: ({ engine }) => json(200, { plugins: engine.plugins.list() }),
  installPlugin: async ({ engine }, head, body) => {
    await engine.plugins.install(body as ManifestInput, requested(head));
    return empty(201);
  },
  getPlugin: ({ engine }, head) => json(200, engine.plugins.get(nameIn(head))),
  removePlugin: async ({ engine }, head) => {
    await engine.plugins.remove(nameIn(head), requested(head));
    return empty(204);
  },
  setPluginEnabled: async ({ engine }, head, body) => {
    const { enabled } = body as { enabled: boolean };
    await engine.plugins.setEnabled(nameIn(head), enabled, requested(head));
    return empty(200);
  },
} satisfies Partial<Handlers>;
