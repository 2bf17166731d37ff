// http, access: decides who may use the API: API key, allow-list of client addresses, and the CORS headers of answers.
// Requests that pages of other origins cause are refused in origin-guard.ts.

import type { Config } from '../../config.ts';
import { VolantError } from '../../lib/errors.ts';
import { contains, type Ipv4Network } from '../../lib/net/ipv4.ts';
import type { HttpRequest, HttpResponse } from '../uws.ts';
import { ANYBODY, type Caller } from './callers.ts';
import type { KeyRing } from './key-ring.ts';
import type { Refusals } from './refusals.ts';

type Headers = readonly (readonly [string, string])[];

export interface Access {
  /** false: check() and corsHeaders() have no effect, and a route need not call them. */
  readonly configured: boolean;
  /**
   * The caller of a request. Throws ADDRESS_FORBIDDEN or UNAUTHORIZED. `keyInQuery` allows the key as a query parameter,
   * for streams that a browser opens itself. Scopes are checked later, where the operation is known.
   */
  check(request: HttpRequest, response: HttpResponse, keyInQuery: boolean): Caller;
  /** The CORS headers of every answer to a page of this origin. */
  corsHeaders(origin: string): Headers;
  /** true if the value of an Authorization header carries a valid key of this daemon. */
  isOurs(authorization: string): boolean;
}

const ALLOWED_METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';
const ALLOWED_HEADERS =
  'Content-Type, Authorization, X-Requested-With, X-Volant-API-Key, Last-Event-ID, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, If-Range, Range, Idempotency-Key, X-Request-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name';
const EXPOSED_HEADERS =
  'Content-Type, X-Total-Count, Retry-After, ETag, Last-Modified, Content-Range, X-Request-Id, X-Volant-Type, X-Volant-Mode, X-Volant-Owner';

export function createAccess(
  { allowedNetworks, corsOrigins }: Pick<Config, 'allowedNetworks' | 'corsOrigins'>,
  keys: KeyRing,
  refusals: Refusals,
): Access {
  const limited = allowedNetworks.length > 0 || corsOrigins.length > 0;
  return {
    // Keys can be added while the daemon runs.
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
const CLOSING = ['Connection', 'close'] as const;

/** Headers that the settings and the connection add to every answer of an exchange. */
export function extraHeadersFor(access: Access, request: HttpRequest): Headers {
  const headers = access.configured ? access.corsHeaders(request.getHeader('origin')) : NO_HEADERS;
  // The server closes such a connection silently. A proxy that forwards the client's header would reuse it.
  return request.getHeader('connection') === 'close' ? [...headers, CLOSING] : headers;
}

/** Checks the address of the socket's peer, never a header. A peer on the unix socket has no address and is local. */
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

/** The key that was sent; empty if none was. */
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

/** Credentials are allowed only for an origin that is named: browsers refuse them together with "*". */
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
