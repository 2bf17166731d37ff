// http, routes: figures of VMs, of the host and of the daemon.

import { LIMITS } from '../../config/limits.ts';
import { EXPOSITION_TYPES, exposition, formatFor } from '../../lib/metrics/exposition.ts';
import { nameIn } from '../exchange/exchange.ts';
import { Query } from '../exchange/query.ts';
import { json } from '../exchange/reply.ts';
import type { Handlers } from '../handlers.ts';

export const statsRoutes = {
  getMetrics: async ({ engine, metrics }, head) => {
    metrics.requireSpace();
    const families = await engine.stats.families();
    metrics.requireSpace();
    const format = formatFor(head.headers['accept'] ?? '');
    const all = [...metrics.families(engine.stats.queues()), ...families];
    const text = exposition(all, format, LIMITS.listPieceCharacters);
    return { status: 200, pieces: metrics.counted(text), contentType: EXPOSITION_TYPES[format] };
  },
  getVMStats: async ({ engine }, head) => json(200, await engine.stats.vm(nameIn(head))),
  listVMStats: async ({ engine }, head) => {
    const query = new Query(head.query);
    const limit = query.count('limit', LIMITS.statsPageMax) ?? LIMITS.statsPageMax;
    const offset = query.count('offset') ?? 0;
    query.throwProblems();
    const { stats, total } = await engine.stats.list({ namePrefix: '', limit, offset });
    return { ...json(200, stats), headers: { 'X-Total-Count': String(total) } };
  },
  getSystemLoad: async ({ engine, metrics }) => {
    const load = await engine.stats.load();
    return json(200, { ...load, queues: [metrics.queue, ...load.queues] });
  },
} satisfies Partial<Handlers>;
