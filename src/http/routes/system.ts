// http, routes: the daemon itself: health, status, facts, its own description.

import type { Config } from '../../config.ts';
import type { Handlers } from '../handlers.ts';
import { json, jsonText } from '../reply.ts';

export const systemRoutes = {
  getHealth: ({ engine }) =>
    engine.system.healthy() ? json(200, { status: 'ok' }) : json(503, { status: 'degraded' }),
  getSystemStatus: async ({ engine }) =>
    json(200, { status: 'ok', ...(await engine.system.status()) }),
  getSystemInfo: async ({ engine, config, supervisor }) => {
    const { host, port } = config.advertise;
    return json(200, {
      status: 'ok',
      api_listen_addr: listenText(config),
      api_advertise_addr: `${host}:${port}`,
      ...(await engine.system.info()),
      supervisor: supervisor(),
    });
  },
  getSystemSummary: ({ engine }) => json(200, engine.system.summary()),
  getOpenAPI: ({ openapi }, head) => jsonText(200, openapi(head.host)),
} satisfies Partial<Handlers>;

function listenText({ listen }: Config): string {
  return listen.kind === 'unix' ? `unix:${listen.path}` : `${listen.host}:${listen.port}`;
}
