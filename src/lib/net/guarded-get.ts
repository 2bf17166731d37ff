// lib, net: a GET request to a server that a client has named. It connects to public addresses only, unless the
// operator has named the host. Which hosts are named, redirects, and the meaning of answers are the caller's part.

import { lookup } from 'node:dns';
import { lookup as lookupAll } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { type ClientRequest, get as httpGet, type IncomingMessage } from 'node:http';
import { get as httpsGet } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { networkInterfaces } from 'node:os';
import { rootCertificates } from 'node:tls';
import { VERSION } from '../version.ts';
import { connectionProblem, FinalFailure } from './connection-failure.ts';
import { isLocalhost, lookupLocalhost } from './localhost.ts';
import { proxiedGet } from './proxied-request.ts';
import { type Outbound, proxyFor } from './proxy.ts';
import { isPublicAddress, isSameAddress } from './public-address.ts';
import { unpacked } from './unpacked.ts';

/** Some servers answer only requests with a user agent. */
const COMMON_HEADERS = {
  accept: '*/*',
  'accept-encoding': 'identity',
  'user-agent': `volant/${VERSION}`,
};

/** The host has an address that is not public, and the operator has not named it. */
export class AddressRefused extends Error {
  override readonly name = 'AddressRefused';
}

/** The network or the server failed. */
export class ConnectionFailed extends Error {
  override readonly name = 'ConnectionFailed';
  /** A retry would fail, too. */
  readonly isFinal: boolean;

  constructor(message: string, isFinal: boolean, options?: ErrorOptions) {
    super(message, options);
    this.isFinal = isFinal;
  }
}

export interface GuardedRequest {
  /** In addition to those of every request. */
  readonly headers: Headers;
  /** Cancels the request and its answer. */
  readonly signal: AbortSignal;
  /** The operator has named this host, so it may have any address. */
  readonly isNamed: boolean;
  readonly outbound: Outbound;
}

export interface GuardedAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** false: the body ends with the connection, so a truncated one is not noticed. */
  readonly showsItsEnd: boolean;
  /** Decompressed. It fails with ConnectionFailed, or with the signal's reason. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Ends the connection. Must be called unless the body is read to its end. */
  cancel(): void;
}

/** Whether the host of a URL, with or without its port, is in the list. The list is in lower case. */
export function isNamedHost(url: URL, hosts: readonly string[]): boolean {
  return [url.hostname, url.host, bareHost(url)].some((host) => hosts.includes(host));
}

/**
 * Returns a server's answer with any status, without following redirects. The check applies to the address of the
 * actual connection, so a change of the name's address after it has no effect. What a proxy connects to is up to the
 * proxy. Rejects with AddressRefused, ConnectionFailed, or the signal's reason.
 */
export async function guardedGet(url: URL, request: GuardedRequest): Promise<GuardedAnswer> {
  const { signal } = request;
  try {
    return await answerTo(await sent(url, request), signal);
  } catch (error) {
    throw reasonOf(error, signal);
  }
}

async function sent(url: URL, request: GuardedRequest): Promise<ClientRequest> {
  const { signal, isNamed, outbound } = request;
  signal.throwIfAborted();
  // An address in the URL itself is not looked up, so it is checked here.
  const host = bareHost(url);
  const isHere = isLocalhost(host) || (isIP(host) !== 0 && !isOutside(host));
  if (!isNamed && isHere) throw refused(host);
  const ca = await authoritiesOf(outbound);
  const headers = { ...COMMON_HEADERS, ...Object.fromEntries(request.headers) };
  const proxy = proxyFor(url, outbound);
  if (proxy !== null) {
    if (!isNamed) await requireOutside(host);
    return await proxiedGet({ url, proxy, headers, signal, ca });
  }
  const get = url.protocol === 'https:' ? httpsGet : httpGet;
  return get(url, {
    // A reused connection would belong to another look-up.
    agent: false,
    headers,
    signal,
    ...(ca === undefined ? {} : { ca }),
    ...lookupOf(host, isNamed),
  });
}

function lookupOf(host: string, isNamed: boolean): { lookup?: LookupFunction } {
  if (isLocalhost(host)) return { lookup: lookupLocalhost };
  return isNamed ? {} : { lookup: lookupOutside };
}

function answerTo(outgoing: ClientRequest, signal: AbortSignal): Promise<GuardedAnswer> {
  return new Promise((resolve, reject) => {
    outgoing.on('error', reject);
    outgoing.on('close', () => reject(new Error('the server ended the connection')));
    outgoing.on('response', (response) => {
      resolve({
        status: response.statusCode ?? 0,
        headers: headersOf(response),
        showsItsEnd: showsItsEnd(response),
        body: bodyOf(response, signal),
        cancel: () => response.destroy(),
      });
    });
  });
}

/**
 * Returns Node's authorities and the operator's; undefined for Node's alone. The file is read each time, because
 * authorities are renewed.
 */
async function authoritiesOf({ caFile }: Outbound): Promise<string[] | undefined> {
  if (caFile === null) return undefined;
  const unusable = (why: string) => new FinalFailure(`${caFile} of VOLANT_CA_FILE ${why}`);
  const text = await readFile(caFile, 'latin1').catch(() => {
    throw unusable('cannot be read');
  });
  if (!text.includes('-----BEGIN CERTIFICATE-----')) throw unusable('has no certificate');
  return [...rootCertificates, text];
}

/**
 * A proxy resolves names itself. A name that this host resolves to an internal address is refused; the rest is up to
 * the proxy.
 */
async function requireOutside(host: string): Promise<void> {
  const found = await lookupAll(host, { all: true }).catch(() => []);
  if (found.some(({ address }) => !isOutside(address))) throw refused(host);
}

/**
 * Checks a host that another program will connect to, as guardedGet does for its own connections. A name may have
 * another address by the time of the connection. Rejects with AddressRefused.
 */
export async function requirePublicHost(url: URL): Promise<void> {
  const host = bareHost(url);
  if (isLocalhost(host) || (isIP(host) !== 0 && !isOutside(host))) throw refused(host);
  if (isIP(host) === 0) await requireOutside(host);
}

/** The URL's host; an IPv6 address without its brackets. */
function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

/** A look-up that returns public addresses only. */
const lookupOutside: LookupFunction = (host, options, callback) => {
  lookup(host, { ...options, all: true }, (error, found) => {
    if (error !== null) return callback(error, []);
    const outside = found.filter(({ address }) => isOutside(address));
    const [first] = outside;
    if (first === undefined) return callback(refused(host), []);
    if (options.all) callback(null, outside);
    else callback(null, first.address, first.family);
  });
};

/**
 * The host's own addresses count as internal even when they are public, because services may listen on all addresses.
 */
function isOutside(address: string): boolean {
  if (!isPublicAddress(address)) return false;
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return !own.some((mine) => isSameAddress(mine.address, address));
}

/** The message does not contain the address: clients must not learn the names of an internal network. */
function refused(host: string): AddressRefused {
  return new AddressRefused(`${host} is a private, local or otherwise special address`);
}

/** By its length or by a last chunk, which the reader of the body checks. */
function showsItsEnd({ headers }: IncomingMessage): boolean {
  const isChunked = /(^|,)\s*chunked\s*$/i.test(headers['transfer-encoding'] ?? '');
  return isChunked || headers['content-length'] !== undefined;
}

function headersOf(response: IncomingMessage): Headers {
  const headers = new Headers();
  for (let at = 0; at + 1 < response.rawHeaders.length; at += 2) {
    headers.append(response.rawHeaders[at] ?? '', response.rawHeaders[at + 1] ?? '');
  }
  return headers;
}

async function* bodyOf(
  response: IncomingMessage,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* unpacked(response, response.headers['content-encoding'] ?? '');
  } catch (error) {
    throw reasonOf(error, signal, true);
  } finally {
    response.destroy();
  }
}

function reasonOf(error: unknown, signal: AbortSignal, isBegun = false): unknown {
  if (signal.aborted) return signal.reason;
  if (error instanceof AddressRefused) return error;
  const { message, isFinal, isOfPacking } = connectionProblem(error);
  return new ConnectionFailed(message, isFinal && (isOfPacking || !isBegun), { cause: error });
}
