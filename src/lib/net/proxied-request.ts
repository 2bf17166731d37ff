// lib, net: a GET request through a proxy: forwarded for http, inside a tunnel for https, so that the proxy cannot
// read it. proxy.ts chooses the proxy, guarded-get.ts checks what may be requested.

import { type ClientRequest, request as httpRequest, type RequestOptions } from 'node:http';
import { get as httpsGet, request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { isLocalhost, lookupLocalhost } from './localhost.ts';

export interface ProxiedGet {
  readonly url: URL;
  readonly proxy: URL;
  readonly headers: Record<string, string>;
  readonly signal: AbortSignal;
  /** Authorities; undefined: those of Node. */
  readonly ca: readonly string[] | undefined;
}

/** Sends the request. Rejects when the proxy cannot be reached or opens no tunnel, or with the signal's reason. */
export async function proxiedGet(get: ProxiedGet): Promise<ClientRequest> {
  const { url, proxy, headers, signal } = get;
  if (url.protocol === 'http:') {
    const own = { ...headers, host: url.host, ...authorization(proxy) };
    return toProxy(get, { path: withoutFragment(url), headers: own, signal }).end();
  }
  const tunnel = await openTunnel(get);
  const servername = url.hostname.replace(/^\[|\]$/g, '');
  const secured = tlsConnect({ socket: tunnel, servername, ...authorities(get) });
  return httpsGet(url, { headers, signal, createConnection: () => secured });
}

function openTunnel(get: ProxiedGet): Promise<Socket> {
  const { url, proxy, signal } = get;
  const target = `${url.hostname}:${url.port || 443}`;
  const headers = { host: target, ...authorization(proxy) };
  return new Promise((resolve, reject) => {
    const asked = toProxy(get, { method: 'CONNECT', path: target, headers, signal });
    asked.on('error', reject);
    asked.on('connect', ({ statusCode }, socket, head) => {
      if (statusCode === 200 && head.length === 0) return resolve(socket);
      socket.destroy();
      reject(new Error(`the proxy answered ${statusCode}`));
    });
    asked.on('response', (response) => {
      response.destroy();
      reject(new Error(`the proxy answered ${response.statusCode}`));
    });
    asked.end();
  });
}

function toProxy(get: ProxiedGet, options: RequestOptions): ClientRequest {
  const { proxy } = get;
  const isSecure = proxy.protocol === 'https:';
  const where = {
    host: proxy.hostname.replace(/^\[|\]$/g, ''),
    port: proxy.port || (isSecure ? 443 : 80),
    agent: false as const,
    ...(isLocalhost(proxy.hostname) ? { lookup: lookupLocalhost } : {}),
  };
  return isSecure
    ? httpsRequest({ ...where, ...options, ...authorities(get) })
    : httpRequest({ ...where, ...options });
}

function authorities({ ca }: ProxiedGet): { ca?: string[] } {
  return ca === undefined ? {} : { ca: [...ca] };
}

function authorization({ username, password }: URL): Record<string, string> {
  if (username === '') return {};
  const text = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { 'proxy-authorization': `Basic ${Buffer.from(text).toString('base64')}` };
}

function withoutFragment(url: URL): string {
  return url.href.slice(0, url.href.length - url.hash.length);
}
