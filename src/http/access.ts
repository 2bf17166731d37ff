// http: who may use the API. API key, allow-list of client addresses, and what browsers are told. Which
// pages a browser may obey is origin-guard.ts's business.

import type { Config } from '../config.ts';
import { VolantError } from '../lib/errors.ts';
import { contains, type Ipv4Network } from '../lib/ipv4.ts';
import { ANYBODY, type Caller } from './callers.ts';
import type { KeyRing } from './key-ring.ts';
import type { Refusals } from './refusals.ts';
import type { HttpRequest, HttpResponse } from './uws.ts';

type Headers = readonly (readonly [string, string])[];

export interface Access {
  /** false: check() and corsHeaders() have nothing to do, and a route need not call them. */
  readonly configured: boolean;
  /**
   * Who asks. Throws ADDRESS_FORBIDDEN or UNAUTHORIZED. `keyInQuery` for streams that a browser opens
   * itself. What the caller may do is checked by who knows what was asked for.
   */
  check(request: HttpRequest, response: HttpResponse, keyInQuery: boolean): Caller;
  /** What every answer to a page of this origin has. */
  corsHeaders(origin: string): Headers;
  /** true for the value of an Authorization header that carries one of our keys. */
  isOurs(authorization: string): boolean;
}

const ALLOWED_METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';
const ALLOWED_HEADERS =
  'Content-Type, Authorization, X-Requested-With, X-Volant-API-Key, Last-Event-ID, If-Match, Idempotency-Key, X-Request-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name';
const EXPOSED_HEADERS = 'Content-Type, X-Total-Count, Retry-After, ETag, X-Request-Id';

export function createAccess(
  { allowedNetworks, corsOrigins }: Pick<Config, 'allowedNetworks' | 'corsOrigins'>,
  keys: KeyRing,
  refusals: Refusals,
): Access {
  const limited = allowedNetworks.length > 0 || corsOrigins.length > 0;
  return {
    // Keys may come while the daemon runs.
    get configured() {
      return limited || keys.required;
    },
    check: (request, response, keyInQuery) => {
      if (allowedNetworks.length > 0) checkAddress(response, allowedNetworks);
      if (!keys.required) return ANYBODY;
      const given = keyIn(request, keyInQuery);
      const caller = given === '' ? undefined : keys.find(given);
      if (caller) return caller;
      refusals.note(Buffer.from(response.getRemoteAddressAsText()).toString());
      const why = given === '' ? undefined : whyRefused(caller);
      throw new VolantError('UNAUTHORIZED', why, { headers: { 'WWW-Authenticate': 'Bearer' } });
    },
    corsHeaders: (origin) => corsHeaders(corsOrigins, origin),
    isOurs: (authorization) => keys.required && keys.find(bearerIn(authorization)) !== undefined,
  };
}

const NO_HEADERS: Headers = [];

/** What the settings add to the answers of an exchange. */
export function extraHeadersFor(access: Access, request: HttpRequest): Headers {
  return access.configured ? access.corsHeaders(request.getHeader('origin')) : NO_HEADERS;
}

/** The socket's own peer, never a header. A peer on the unix socket has no address and is local. */
function checkAddress(response: HttpResponse, allowed: readonly Ipv4Network[]): void {
  const octets = new Uint8Array(response.getRemoteAddress());
  if (octets.length === 0) return;
  const address = ipv4Of(octets);
  if (address !== null && allowed.some((network) => contains(network, address))) return;
  throw new VolantError('ADDRESS_FORBIDDEN');
}

/** Four octets, or the last four of an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2). */
function ipv4Of(octets: Uint8Array): number | null {
  const mapped =
    octets.length === 16 &&
    octets.subarray(0, 10).every((octet) => octet === 0) &&
    octets[10] === 0xff &&
    octets[11] === 0xff;
  if (octets.length !== 4 && !mapped) return null;
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  return view.getUint32(octets.length - 4);
}

/** Empty where none was sent. */
function keyIn(request: HttpRequest, keyInQuery: boolean): string {
  const bearer = bearerIn(request.getHeader('authorization'));
  const query = keyInQuery ? request.getQuery('api_key') : undefined;
  return request.getHeader('x-volant-api-key') || bearer || query || '';
}

function whyRefused(found: null | undefined): string {
  return found === null ? 'The API key has expired' : 'The API key is wrong';
}

function bearerIn(authorization: string): string {
  return /^Bearer +(.+)$/i.exec(authorization)?.[1] ?? '';
}

/** Credentials only for an origin that was named: browsers refuse them together with "*". */
function corsHeaders(origins: readonly string[], origin: string): Headers {
  if (origins.length === 0 || origin === '') return [];
  const named = origins.includes(origin);
  if (!named && (origin === 'null' || !origins.includes('*'))) return [['Vary', 'Origin']];
  return [
    ['Access-Control-Allow-Origin', named ? origin : '*'],
    ...(named ? [['Access-Control-Allow-Credentials', 'true'] as const] : []),
    ['Access-Control-Allow-Methods', ALLOWED_METHODS],
    ['Access-Control-Allow-Headers', ALLOWED_HEADERS],
    ['Access-Control-Expose-Headers', EXPOSED_HEADERS],
    ['Vary', 'Origin'],
  ];
}
