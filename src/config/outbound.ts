// config: how servers of the outside are reached. The variables of proxies have the names that most programs read.

import { resolve } from 'node:path';
import { type Outbound, proxyProblem } from '../lib/proxy.ts';
import { expandHome, type settingsReader } from '../lib/settings.ts';

type Reader = ReturnType<typeof settingsReader>;

/** The file is read with each request, for authorities are renewed. */
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

/** A proxy without a scheme is one for http, as other programs take it. */
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
