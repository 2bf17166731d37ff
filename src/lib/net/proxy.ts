// lib, net: chooses the proxy for a server by HTTPS_PROXY, HTTP_PROXY and NO_PROXY, with their usual meaning. Pure.
// The connection is made in proxied-request.ts.

import { isIP } from 'node:net';
import { contains, parseCidr, parseIpv4 } from './ipv4.ts';
import { isLocalhost } from './localhost.ts';

/** How external servers are reached. */
export interface Outbound {
  /** A PEM file with authorities that are trusted in addition to Node's; null: none. */
  readonly caFile: string | null;
  /** URLs of proxies by the scheme of the server; null: direct connections. */
  readonly httpsProxy: string | null;
  readonly httpProxy: string | null;
  /** Hosts, domains and networks that are reached without a proxy, in lower case; "*": all. */
  readonly noProxy: readonly string[];
}

/** Direct connections only. */
export const DIRECT: Outbound = { caFile: null, httpsProxy: null, httpProxy: null, noProxy: [] };

/** Returns what is wrong with the URL of a proxy, as the end of a sentence; null when nothing is. */
export function proxyProblem(given: string): string | null {
  const protocol = URL.canParse(given) ? new URL(given).protocol : '';
  return protocol === 'http:' || protocol === 'https:' ? null : 'use http://host:port';
}

/** Returns the proxy for a URL; null for a direct connection, as for this host itself. */
export function proxyFor(url: URL, { httpsProxy, httpProxy, noProxy }: Outbound): URL | null {
  const proxy = url.protocol === 'https:' ? httpsProxy : httpProxy;
  if (proxy === null) return null;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (isLocalhost(host) || /^(127(\.\d+){3}|::1)$/.test(host)) return null;
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return noProxy.some((entry) => isMeant(entry, host, port)) ? null : new URL(proxy);
}

/**
 * `example.org` matches itself and its subdomains; `.example.org` and `*.example.org` match only subdomains. Each may
 * have a port.
 */
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
