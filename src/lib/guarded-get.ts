// lib: a GET to a server that somebody else has named. It connects to public addresses only, unless the host
// was named by the operator. Who is named, redirects and what an answer means are the caller's business.

import { lookup } from 'node:dns';
import { lookup as lookupAll } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { type ClientRequest, get as httpGet, type IncomingMessage } from 'node:http';
import { get as httpsGet } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { networkInterfaces } from 'node:os';
import { rootCertificates } from 'node:tls';
import { connectionProblem, FinalFailure } from './connection-failure.ts';
import { proxiedGet } from './proxied-request.ts';
import { type Outbound, proxyFor } from './proxy.ts';
import { isPublicAddress, isSameAddress } from './public-address.ts';
import { unpacked } from './unpacked.ts';
import { VERSION } from './version.ts';

/** Some servers answer nobody who does not say who asks. */
const COMMON_HEADERS = {
  accept: '*/*',
  'accept-encoding': 'identity',
  'user-agent': `volant/${VERSION}`,
};

/** The host is at addresses that are not public, and it was not named. */
export class AddressRefused extends Error {
  override readonly name = 'AddressRefused';
}

/** The network or the server failed. */
export class ConnectionFailed extends Error {
  override readonly name = 'ConnectionFailed';
  /** Another try would fail, too. */
  readonly isFinal: boolean;

  constructor(message: string, isFinal: boolean, options?: ErrorOptions) {
    super(message, options);
    this.isFinal = isFinal;
  }
}

export interface GuardedRequest {
  /** Besides those that every request has. */
  readonly headers: Headers;
  /** Ends the request and its answer. */
  readonly signal: AbortSignal;
  /** The operator has named this host: it may be at any address. */
  readonly isNamed: boolean;
  readonly outbound: Outbound;
}

export interface GuardedAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** False where the body ends with the connection: whether it came as a whole is not known then. */
  readonly showsItsEnd: boolean;
  /** Unpacked. It fails with ConnectionFailed, or with the reason of the signal. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Ends the connection: who does not read the body to its end calls it. */
  cancel(): void;
}

/** Whether the host of a URL, with or without its port, is in the list. The list is in lower case. */
export function isNamedHost(url: URL, hosts: readonly string[]): boolean {
  return [url.hostname, url.host, bareHost(url)].some((host) => hosts.includes(host));
}

/**
 * The answer of a server, whatever its status; redirects are not followed. The address is checked that is connected to,
 * so a name that has another address a moment later is of no use; what a proxy connects to is up to the proxy.
 * Rejects with AddressRefused, ConnectionFailed, or the reason of the signal.
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
  // Without a look-up there is nobody to ask about an address that stands in the URL itself.
  const host = bareHost(url);
  if (!isNamed && isIP(host) !== 0 && !isOutside(host)) throw refused(host);
  const ca = await authoritiesOf(outbound);
  const headers = { ...COMMON_HEADERS, ...Object.fromEntries(request.headers) };
  const proxy = proxyFor(url, outbound);
  if (proxy !== null) {
    if (!isNamed) await requireOutside(host);
    return await proxiedGet({ url, proxy, headers, signal, ca });
  }
  const get = url.protocol === 'https:' ? httpsGet : httpGet;
  return get(url, {
    // A connection that is used again would be one of another look-up.
    agent: false,
    headers,
    signal,
    ...(ca === undefined ? {} : { ca }),
    ...(isNamed ? {} : { lookup: lookupOutside }),
  });
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

/** Those that Node knows and those of the operator; undefined for the former alone. Read anew: they are renewed. */
async function authoritiesOf({ caFile }: Outbound): Promise<string[] | undefined> {
  if (caFile === null) return undefined;
  const unusable = (why: string) => new FinalFailure(`${caFile} of VOLANT_CA_FILE ${why}`);
  const text = await readFile(caFile, 'latin1').catch(() => {
    throw unusable('cannot be read');
  });
  if (!text.includes('-----BEGIN CERTIFICATE-----')) throw unusable('has no certificate');
  return [...rootCertificates, text];
}

/** A proxy looks names up by itself. What this host knows to be inside is not asked for; the rest is up to the proxy. */
async function requireOutside(host: string): Promise<void> {
  const found = await lookupAll(host, { all: true }).catch(() => []);
  if (found.some(({ address }) => !isOutside(address))) throw refused(host);
}

/** The URL's host; an IPv6 address without its brackets. */
function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

/** A look-up that knows none but addresses of the outside world. */
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

/** This host's own addresses are not outside, public or not: what listens on all of them is here. */
function isOutside(address: string): boolean {
  if (!isPublicAddress(address)) return false;
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return !own.some((mine) => isSameAddress(mine.address, address));
}

/** The address is not told: names of an inner network are not for whoever may ask for a download. */
function refused(host: string): AddressRefused {
  return new AddressRefused(`${host} is a private, local or otherwise special address`);
}

/** By a length, or by a last chunk; both are checked by the reader of the body. */
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
