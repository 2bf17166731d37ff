// http, routes: the daemon itself: health, status, facts, API description.

import { sendDownload } from '../exchange/file-answer.ts';
import { Query } from '../exchange/query.ts';
import { json, jsonText } from '../exchange/reply.ts';
import type { Handlers } from '../handlers.ts';
import { systemFacts } from '../system-facts.ts';

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
  getSystemInfo: async (context) => json(200, await systemFacts(context)),
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
