// http, guests: which headers of a request are forwarded to a guest, and which headers of its answer are returned. Headers
// that belong to one connection are dropped (RFC 9110, 7.6.1), and so are this daemon's API keys.

import { validateHeaderName, validateHeaderValue } from 'node:http';
import { VolantError } from '../../lib/errors.ts';
import type { Access } from '../access/access.ts';
import { REQUEST_ID_HEADER } from '../exchange/request-id.ts';
import type { HttpRequest } from '../uws.ts';
import { confinedLocation, type GuestRequestPlace } from './guest-location.ts';

/** Headers of one connection. */
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'trailers',
  'transfer-encoding',
  'upgrade',
] as const;

/** Headers of this daemon, and headers that its server answers itself. */
const NOT_FOR_GUESTS = new Set<string>([
  ...HOP_BY_HOP,
  'x-volant-api-key',
  'accept-encoding',
  'expect',
  'host',
  REQUEST_ID_HEADER.toLowerCase(),
]);

/**
 * Headers that a browser would apply to the daemon's whole origin, and so to its other pages and other guests: cookies,
 * storage, transport, reporting and service workers. Also headers that the relay sets itself.
 */
const SAID_FOR_THE_ORIGIN = [
  'alt-svc',
  'clear-site-data',
  'content-security-policy',
  'critical-ch',
  'expect-ct',
  'nel',
  'origin-agent-cluster',
  'public-key-pins',
  'public-key-pins-report-only',
  'report-to',
  'reporting-endpoints',
  'service-worker-allowed',
  'set-cookie',
  'set-cookie2',
  'set-login',
  'strict-transport-security',
  'x-content-type-options',
];

/** true if guests get a header of this name. Its value may still be removed. */
export function isForGuests(name: string): boolean {
  return !NOT_FOR_GUESTS.has(name.toLowerCase());
}

/** Replaces a Location that leads out of the guest: it is reported, but no client follows it. */
const GUEST_LOCATION = 'X-Volant-Location';

/**
 * Headers that the server writes itself, and CORS headers: a guest may not decide who reads answers of this daemon's
 * origin.
 */
const NOT_FOR_CLIENTS = new Set<string>([
  ...HOP_BY_HOP,
  ...SAID_FOR_THE_ORIGIN,
  'content-length',
  'date',
  'uwebsockets',
  GUEST_LOCATION.toLowerCase(),
  REQUEST_ID_HEADER.toLowerCase(),
]);

/** Headers that keep a page of a guest from acting with the rights of this daemon's origin. */
export const GUEST_PAGE_HEADERS = [
  ['Content-Security-Policy', 'sandbox allow-scripts allow-forms allow-popups'],
  ['X-Content-Type-Options', 'nosniff'],
] as const;

export interface GuestRequestHead {
  readonly method: string;
  /** The part of the requested path before the target. */
  readonly agentPath: string;
  /** Path and query, as the client sent them. */
  readonly target: string;
  /** Octets as Latin-1 characters, as node:http writes them. */
  readonly headers: Readonly<Record<string, string | string[]>>;
}

/**
 * Reads the head that is forwarded. Must be called before the first await of a handler. The path is the part after
 * "/agent". The guest gets the exchange's id. Requests to switch protocols are not forwarded (RFC 9110, 7.8). Throws
 * PARAMETER_INVALID for a head that cannot be forwarded unchanged.
 */
export function readGuestHead(
  request: HttpRequest,
  access: Access,
  requestId: string,
): GuestRequestHead {
  const given: [string, string][] = [];
  request.forEach((name, value) => {
    given.push([name, value]);
  });
  const named = namedIn(given.flatMap(([name, value]) => (name === 'connection' ? [value] : [])));
  const headers: Record<string, string | string[]> = {
    host: 'agent',
    [REQUEST_ID_HEADER.toLowerCase()]: requestId,
  };
  for (const [name, value] of given) {
    if (NOT_FOR_GUESTS.has(name) || named.has(name)) continue;
    if (name === 'authorization' && access.isOurs(value)) continue;
    const octets = octetsOf(name, value);
    const before = headers[name];
    headers[name] = before === undefined ? octets : [before, octets].flat();
  }
  // A body without a length must be chunked.
  const isChunked = given.some(([name]) => name === 'transfer-encoding');
  if (isChunked) headers['transfer-encoding'] = 'chunked';
  const [, agentPath = '', path = '/'] =
    /^(\/api\/v1\/vms\/[^/]+\/agent)(\/.*)$/.exec(request.getUrl()) ?? [];
  const query = withoutKey(request.getQuery() ?? '');
  const method = request.getMethod().toUpperCase();
  if (!/^[\w!#$%&'*+.^`|~-]+$/.test(method)) throw unsendable('method', 'must be a token');
  const target = query === '' ? path : `${path}?${query}`;
  // RFC 9112, 3.2.
  if (!/^[\x21-\x7e]*$/.test(target)) {
    throw unsendable('path', 'must be visible ASCII, other characters escaped');
  }
  return { method, agentPath, target, headers };
}

/** The server decodes octets as UTF-8; invalid ones are lost. */
function octetsOf(name: string, value: string): string {
  if (value.includes('\ufffd')) throw unsendable(name, 'must be UTF-8');
  const octets = Buffer.from(value).toString('latin1');
  try {
    validateHeaderName(name);
    validateHeaderValue(name, octets);
  } catch {
    throw unsendable(name, 'has characters that are not allowed in a header');
  }
  return octets;
}

function unsendable(what: string, rule: string): VolantError {
  return new VolantError('PARAMETER_INVALID', undefined, { details: { [what]: rule } });
}

/** Names and values in the order of the guest's answer. Redirects stay within the guest: see guest-location.ts. */
export function headersForClient(
  raw: readonly string[],
  place: () => GuestRequestPlace,
): readonly (readonly [string, string])[] {
  const pairs = raw.flatMap((name, index): [string, string][] =>
    index % 2 === 0 ? [[name, raw[index + 1] ?? '']] : [],
  );
  const named = namedIn(
    pairs.flatMap(([name, value]) => (name.toLowerCase() === 'connection' ? [value] : [])),
  );
  const kept = pairs.filter(([given]) => {
    const name = given.toLowerCase();
    return !NOT_FOR_CLIENTS.has(name) && !named.has(name) && !name.startsWith('access-control-');
  });
  return kept.map(([name, value]) =>
    name.toLowerCase() === 'location' ? locationForClient(value, place()) : [name, value],
  );
}

function locationForClient(value: string, place: GuestRequestPlace): [string, string] {
  // Node gives octets as Latin-1; clients read them as UTF-8.
  const text = Buffer.from(value, 'latin1').toString();
  const location = confinedLocation(text, place);
  return location === null ? [GUEST_LOCATION, value] : ['Location', location];
}

/** A Connection header names further headers of the connection. */
function namedIn(values: readonly string[]): ReadonlySet<string> {
  return new Set(values.flatMap((value) => value.toLowerCase().split(/\s*,\s*/)));
}

function withoutKey(query: string): string {
  return query
    .split('&')
    .filter((pair) => !/^api_key(=|$)/.test(pair))
    .join('&');
}
