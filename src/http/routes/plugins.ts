// http, routes: plugins.

import type { ManifestInput } from '../../schema/manifest.ts';
import type { RequestHead } from '../exchange.ts';
import type { Handlers } from '../handlers.ts';
import { empty, json } from '../reply.ts';

export const pluginRoutes = {
  listPlugins: ({ engine }) => json(200, { plugins: engine.plugins.list() }),
  installPlugin: async ({ engine }, _head, body) => {
    await engine.plugins.install(body as ManifestInput);
    return empty(201);
  },
  getPlugin: ({ engine }, head) => json(200, engine.plugins.get(nameIn(head))),
  removePlugin: async ({ engine }, head) => {
    await engine.plugins.remove(nameIn(head));
    return empty(204);
  },
  setPluginEnabled: async ({ engine }, head, body) => {
    await engine.plugins.setEnabled(nameIn(head), (body as { enabled: boolean }).enabled);
    return empty(200);
  },
} satisfies Partial<Handlers>;

function nameIn(head: RequestHead): string {
  return head.parameters[0] ?? '';
}
