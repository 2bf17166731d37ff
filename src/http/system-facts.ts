// http: facts about the daemon and its host as one object, for the REST route and for MCP.

import type { Config } from '../config.ts';
import type { HostAndPort } from '../lib/settings.ts';
import type { HandlerContext } from './handlers.ts';

/** In the shape of SystemInfoSchema. */
export async function systemFacts({
  engine,
  config,
  guards,
  supervisor,
}: Pick<HandlerContext, 'engine' | 'config' | 'guards' | 'supervisor'>): Promise<object> {
  const { keys, tls } = guards();
  return {
    status: 'ok',
    api_listen_addr: listenText(config),
    api_advertise_addr: advertisedText(config),
    ...(await engine.system.info()),
    supervisor: supervisor(),
    ...(keys === null ? {} : { keys }),
    ...(tls === null ? {} : { tls }),
  };
}

function listenText({ listen }: Config): string {
  return listen.kind === 'unix' ? `unix:${listen.path}` : addressText(listen);
}

/**
 * Where clients find the daemon: the address for guests, or, if guests cannot reach it, the address on which it listens.
 */
function advertisedText(config: Config): string {
  return config.advertise.isServed ? addressText(config.advertise) : listenText(config);
}

function addressText({ host, port }: HostAndPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
