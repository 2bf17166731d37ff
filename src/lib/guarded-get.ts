// lib: a GET to a server that somebody else has named. It connects to public addresses only, unless the host
// was named by the operator. Who is named, redirects and what an answer means are the caller's business.

import { lookup } from 'node:dns';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { get as httpsGet } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { networkInterfaces } from 'node:os';
import { pipeline, type Readable } from 'node:stream';
import { createBrotliDecompress, createUnzip } from 'node:zlib';
import { isPublicAddress, isSameAddress } from './public-address.ts';
import { VERSION } from './version.ts';

const CODINGS_MAX = 5;

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

/** The network or the server failed; another try may succeed. */
export class ConnectionFailed extends Error {
  override readonly name = 'ConnectionFailed';
}

export interface GuardedRequest {
  /** Besides those that every request has. */
  readonly headers: Headers;
  /** Ends the request and its answer. */
  readonly signal: AbortSignal;
  /** The operator has named this host: it may be at any address. */
  readonly isNamed: boolean;
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
 * so a name that has another address a moment later is of no use. Rejects with AddressRefused, ConnectionFailed, or the
 * reason of the signal.
 */
export function guardedGet(url: URL, request: GuardedRequest): Promise<GuardedAnswer> {
  const { headers, signal, isNamed } = request;
  const get = url.protocol === 'https:' ? httpsGet : httpGet;
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    // Without a look-up there is nobody to ask about an address that stands in the URL itself.
    const host = bareHost(url);
    if (!isNamed && isIP(host) !== 0 && !isOutside(host)) throw refused(host);
    const outgoing = get(url, {
      // A connection that is used again would be one of another look-up.
      agent: false,
      headers: { ...COMMON_HEADERS, ...Object.fromEntries(headers) },
      signal,
      ...(isNamed ? {} : { lookup: lookupOutside }),
    });
    const fail = (error: unknown) => reject(reasonOf(error, signal));
    outgoing.on('error', fail);
    outgoing.on('close', () => fail(new Error('the server ended the connection')));
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
    yield* unpacked(response);
  } catch (error) {
    throw reasonOf(error, signal);
  } finally {
    response.destroy();
  }
}

/** Nobody was asked to pack anything; servers do so all the same. */
function unpacked(response: IncomingMessage): Readable {
  const codings = (response.headers['content-encoding'] ?? '')
    .split(',')
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => coding !== '' && coding !== 'identity')
    .reverse();
  if (codings.length > CODINGS_MAX) throw new Error('the answer is packed too often');
  return codings.reduce<Readable>((packed, coding) => {
    // Who reads the last stream hears of the failure of each.
    return pipeline(packed, decoderFor(coding), () => undefined);
  }, response);
}

function decoderFor(coding: string) {
  if (coding === 'br') return createBrotliDecompress();
  if (['gzip', 'x-gzip', 'deflate'].includes(coding)) return createUnzip();
  throw new Error(`the answer is packed in a way that is not known: ${coding}`);
}

function reasonOf(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  if (error instanceof AddressRefused) return error;
  const message = error instanceof Error && error.message !== '' ? error.message : messageIn(error);
  return new ConnectionFailed(message, { cause: error });
}

/** The failure to connect to several addresses has no text of its own, but one for each. */
function messageIn(error: unknown): string {
  const first = error instanceof AggregateError ? error.errors[0] : error;
  return first instanceof Error ? first.message : String(first);
}
