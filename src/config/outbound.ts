// config: settings of outgoing connections: proxies and certificate authorities. The proxy variables have the names
// that most programs use.

import { resolve } from 'node:path';
import { type Outbound, proxyProblem } from '../lib/net/proxy.ts';
import { expandHome, type settingsReader } from '../lib/settings.ts';

type Reader = ReturnType<typeof settingsReader>;

/** Reads these settings. The file of authorities itself is read with each request, because authorities are renewed. */
export function readOutbound(read: Reader, problems: string[]): Outbound {
  const caFile = read.text('VOLANT_CA_FILE', '');
  return {
    caFile: caFile === '' ? null : resolve(expandHome(caFile)),
    httpsProxy: readProxy(read, 'HTTPS_PROXY', problems),
    httpProxy: readProxy(read, 'HTTP_PROXY', problems),
    noProxy: eitherCase(read, 'NO_PROXY')
      .toLowerCase()
      .split(/[\s,]+/)
      .filter((entry) => entry !== ''),
  };
}

/** A proxy without a scheme is an http proxy, as in other programs. */
function readProxy(read: Reader, name: string, problems: string[]): string | null {
  const given = eitherCase(read, name);
  if (given === '') return null;
  const proxy = given.includes('://') ? given : `http://${given}`;
  const problem = proxyProblem(proxy);
  if (problem !== null) problems.push(`${name}: ${problem}`);
  return proxy;
}

function eitherCase(read: Reader, name: string): string {
  return read.text(name.toLowerCase(), '') || read.text(name, '');
}
