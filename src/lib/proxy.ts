// lib: through which proxy a server is asked, as the variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY say it to most
// programs. Pure; the connection is made in proxied-request.ts.

import { isIP } from 'node:net';
import { contains, parseCidr, parseIpv4 } from './ipv4.ts';

/** How servers of the outside are reached. */
export interface Outbound {
  /** A PEM file with authorities that are trusted besides those that Node knows; null for none. */
  readonly caFile: string | null;
  /** URLs of proxies by the scheme of the server; null: servers are asked themselves. */
  readonly httpsProxy: string | null;
  readonly httpProxy: string | null;
  /** Hosts, domains and networks that no proxy is asked for, in lower case; "*" for all. */
  readonly noProxy: readonly string[];
}

/** Everything is asked itself. */
export const DIRECT: Outbound = { caFile: null, httpsProxy: null, httpProxy: null, noProxy: [] };

/** What is wrong with the URL of a proxy, to be said after its name; null when nothing is. */
export function proxyProblem(given: string): string | null {
  const protocol = URL.canParse(given) ? new URL(given).protocol : '';
  return protocol === 'http:' || protocol === 'https:' ? null : 'use http://host:port';
}

/** The proxy to ask for a URL; null where the server is asked itself. The host itself needs none. */
export function proxyFor(url: URL, { httpsProxy, httpProxy, noProxy }: Outbound): URL | null {
  const proxy = url.protocol === 'https:' ? httpsProxy : httpProxy;
  if (proxy === null) return null;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (/^(localhost|127(\.\d+){3}|::1)$/.test(host)) return null;
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return noProxy.some((entry) => isMeant(entry, host, port)) ? null : new URL(proxy);
}

/** `example.org`, `.example.org`, `*.example.org` mean what is below, the first itself, too; each with or without a port. */
function isMeant(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true;
  const network = parseCidr(entry);
  const address = parseIpv4(host);
  if (network !== null) return address !== null && contains(network, address);
  const bare = entry.replace(/^\[|\](?=:\d+$|$)/g, '');
  if (isIP(bare) !== 0) return bare === host;
  const [, name = '', wantedPort] = /^(.*?)(?::(\d+))?$/.exec(bare) ?? [];
  if (wantedPort !== undefined && wantedPort !== port) return false;
  const domain = name.replace(/^\*?\./, '');
  const isItself = domain === name && host === domain;
  return domain !== '' && (isItself || host.endsWith(`.${domain}`));
}
