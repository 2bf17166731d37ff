// http, routes: the daemon itself: health, status, facts, its own description.

import type { Config } from '../../config.ts';
import type { HostAndPort } from '../../lib/settings.ts';
import { sendDownload } from '../download.ts';
import type { Handlers } from '../handlers.ts';
import { Query } from '../query.ts';
import { json, jsonText } from '../reply.ts';

export const systemRoutes = {
  getHealth: async ({ engine, guards }) => {
    const { reasons, warnings: found } = await engine.system.health();
    const { keys, tls } = guards();
    const warnings = [
      ...found,
      ...(keys?.problem === undefined ? [] : ['KEYS_FILE_BROKEN']),
      ...(tls?.problem === undefined ? [] : ['TLS_FILES_BROKEN']),
    ];
    const isHealthy = reasons.length === 0;
    return json(isHealthy ? 200 : 503, {
      status: isHealthy ? 'ok' : 'degraded',
      ...(isHealthy ? {} : { reasons }),
      ...(warnings.length > 0 ? { warnings } : {}),
    });
  },
  getSystemStatus: async ({ engine }) =>
    json(200, { status: 'ok', ...(await engine.system.status()) }),
  getSystemInfo: async ({ engine, config, guards, supervisor }) => {
    const { keys, tls } = guards();
    return json(200, {
      status: 'ok',
      api_listen_addr: listenText(config),
      api_advertise_addr: advertisedText(config),
      ...(await engine.system.info()),
      supervisor: supervisor(),
      ...(keys === null ? {} : { keys }),
      ...(tls === null ? {} : { tls }),
    });
  },
  auditSystem: async ({ engine }, head) => {
    const query = new Query(head.query);
    const repair = query.flag('repair');
    query.throwProblems();
    return json(200, await engine.system.audit(repair));
  },
  backupState: {
    raw: async ({ engine, log }, { requestId }, _body, exchange) => {
      const headers = {
        'Content-Type': 'application/octet-stream',
        'Content-Disposition': 'attachment; filename="volant.backup"',
      };
      if (exchange.withoutBody) return { status: 200, headers };
      const backup = await engine.system.backup();
      sendDownload(exchange, backup, headers).catch((error: unknown) => {
        log.error({ request_id: requestId, err: error }, 'a backup could not be sent');
      });
      return null;
    },
  },
  getSystemSummary: ({ engine }) => json(200, engine.system.summary()),
  getOpenAPI: ({ openapi }, head) => jsonText(200, openapi(head.host)),
} satisfies Partial<Handlers>;

function listenText({ listen }: Config): string {
  return listen.kind === 'unix' ? `unix:${listen.path}` : addressText(listen);
}

/** Where the daemon can be found; on a host whose guests cannot reach it that is where it listens. */
function advertisedText(config: Config): string {
  return config.advertise.isServed ? addressText(config.advertise) : listenText(config);
}

function addressText({ host, port }: HostAndPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
