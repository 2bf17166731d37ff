// http: what the daemon tells about itself and its host, as one answer: for the route and for agents.

import type { Config } from '../config.ts';
import type { HostAndPort } from '../lib/settings.ts';
import type { HandlerContext } from './handlers.ts';

/** As SystemInfoSchema says. */
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

/** Where the daemon can be found; on a host whose guests cannot reach it that is where it listens. */
function advertisedText(config: Config): string {
  return config.advertise.isServed ? addressText(config.advertise) : listenText(config);
}

function addressText({ host, port }: HostAndPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
