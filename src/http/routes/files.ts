// http, routes: files in guests. All but the watch stream their bodies in both directions, so no handler here answers them.

import { FILE_WATCH_OPERATIONS } from '../../schema/operations/files.ts';
import { connectionTo } from '../guests/files/file-proxy.ts';
import { watchTarget } from '../guests/files/file-request.ts';
import type { Handlers, StreamHandler } from '../handlers.ts';

const BY_PROXY = { boundBy: 'guests/files/file-proxy.ts' } as const;

const watchFiles: StreamHandler = ({ engine, caller, fileWatches }, head, exchange) => {
  const name = head.parameters[0] ?? '';
  // Throws for a VM that the caller may not see, whatever else is wrong.
  engine.configs.get(name);
  const target = watchTarget(FILE_WATCH_OPERATIONS.watchVMFiles, head.query);
  const agent = connectionTo(engine.agents, name);
  fileWatches.open(exchange, caller, target, () => agent.openWatch());
};

export const fileRoutes = {
  getVMFile: BY_PROXY,
  putVMFile: BY_PROXY,
  changeVMFile: BY_PROXY,
  deleteVMFile: BY_PROXY,
  watchVMFiles: { stream: watchFiles },
} satisfies Partial<Handlers>;
