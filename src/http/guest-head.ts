// http: what of a request's head goes on to a guest, and what of a guest's answer comes back. Headers
// that belong to one connection stay on it (RFC 9110, 7.6.1), and so do our keys.

import { validateHeaderName, validateHeaderValue } from 'node:http';
import { VolantError } from '../lib/errors.ts';
import type { Access } from './access.ts';
import { confinedLocation, type GuestRequestPlace } from './guest-location.ts';
import { REQUEST_ID_HEADER } from './request-id.ts';
import type { HttpRequest } from './uws.ts';

/** Meant for the next hop only. */
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

/** Ours, or answered by the server itself. */
const NOT_FOR_GUESTS = new Set<string>([
  ...HOP_BY_HOP,
  'x-volant-api-key',
  'accept-encoding',
  'expect',
  'host',
  REQUEST_ID_HEADER.toLowerCase(),
]);

/**
 * What a browser would take as said by this daemon's origin, and keep for its other pages or other guests: cookies,
 * storage, transport, reporting and service workers; and what the relay says itself.
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

/** Whether guests get a header of this name; what is sent with it may still stay here. */
export function isForGuests(name: string): boolean {
  return !NOT_FOR_GUESTS.has(name.toLowerCase());
}

/** A Location that leads out of the guest: it is told, but no client follows it. */
const GUEST_LOCATION = 'X-Volant-Location';

/** The server writes its own; who may read answers of this daemon's origin is not for guests to say. */
const NOT_FOR_CLIENTS = new Set<string>([
  ...HOP_BY_HOP,
  ...SAID_FOR_THE_ORIGIN,
  'content-length',
  'date',
  'uwebsockets',
  GUEST_LOCATION.toLowerCase(),
  REQUEST_ID_HEADER.toLowerCase(),
]);

/** What a browser shall not do with a page of a guest: act with the rights of this daemon's origin. */
export const GUEST_PAGE_HEADERS = [
  ['Content-Security-Policy', 'sandbox allow-scripts allow-forms allow-popups'],
  ['X-Content-Type-Options', 'nosniff'],
] as const;

export interface GuestRequestHead {
  readonly method: string;
  /** What stands before the target in the path that was asked for. */
  readonly agentPath: string;
  /** Path and query, as they were sent. */
  readonly target: string;
  /** Octets as Latin-1 characters, as node:http writes them. */
  readonly headers: Readonly<Record<string, string | string[]>>;
}

/**
 * Must be called before the first await of a handler. The path is what follows "/agent". The guest gets the exchange's id
 * as any other service behind a proxy does. A wish to switch to another protocol stays here, as it may (RFC 9110, 7.8).
 * Throws PARAMETER_INVALID for what cannot be sent on as it is.
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
  // Without a length a body has to say where it ends by itself.
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

/** The server reads octets as UTF-8; what is not cannot be had again. */
function octetsOf(name: string, value: string): string {
  if (value.includes('\ufffd')) throw unsendable(name, 'must be UTF-8');
  const octets = Buffer.from(value).toString('latin1');
  try {
    validateHeaderName(name);
    validateHeaderValue(name, octets);
  } catch {
    throw unsendable(name, 'has characters that no header has');
  }
  return octets;
}

function unsendable(what: string, rule: string): VolantError {
  return new VolantError('PARAMETER_INVALID', undefined, { details: { [what]: rule } });
}

/** Names and values in the order of the guest's answer. Redirects lead to the guest itself: see guest-location.ts. */
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
  // Octets that node gives as Latin-1; clients read them as UTF-8.
  const text = Buffer.from(value, 'latin1').toString();
  const location = confinedLocation(text, place);
  return location === null ? [GUEST_LOCATION, value] : ['Location', location];
}

/** A Connection header names more headers of its hop. */
function namedIn(values: readonly string[]): ReadonlySet<string> {
  return new Set(values.flatMap((value) => value.toLowerCase().split(/\s*,\s*/)));
}

function withoutKey(query: string): string {
  return query
    .split('&')
    .filter((pair) => !/^api_key(=|$)/.test(pair))
    .join('&');
}
