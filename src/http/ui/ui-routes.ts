// http, ui: answers with the files of the dashboard, below /ui. They are code without data, so they need no API key; the
// dashboard asks the API with the key of its user. The routes are no operations of the API, and not in its document.

import { VolantError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log/log.ts';
import { type Access, extraHeadersFor } from '../access/access.ts';
import type { GuardedRoutes } from '../access/origin-guard.ts';
import { Exchange } from '../exchange/exchange.ts';
import { errorReply, isLong, logLevelOf, type Reply, writeReply } from '../exchange/reply.ts';
import type { Traffic } from '../traffic.ts';
import type { HttpRequest, HttpResponse } from '../uws.ts';
import { UI_PAGE, type UiFile, type UiFiles } from './ui-files.ts';

export interface UiParts {
  /** null: the dashboard is not built. */
  readonly files: UiFiles | null;
  readonly access: Access;
  readonly traffic: Traffic;
  readonly log: Logger;
}

const ALLOWED = 'GET, HEAD, OPTIONS';

const NOT_BUILT =
  'The dashboard is not built here: run `npm run build` in the checkout and start the daemon again';

/**
 * Nothing but files of this origin is loaded, no text becomes code, and no other page can frame the dashboard. Styles that a
 * script sets through the object model of CSS are allowed, style attributes and elements are not.
 */
const PROTECTION: Readonly<Record<string, string>> = {
  'Content-Security-Policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

/** A digest in the name makes another content another name. */
const FOR_EVER = 'public, max-age=31536000, immutable';
const ASK_AGAIN = 'no-cache';

export function bindUi(routes: GuardedRoutes, parts: UiParts): void {
  for (const pattern of ['/ui', '/ui/*']) {
    routes.any(
      pattern,
      (response, request, requestId) => answer(parts, response, request, requestId),
      { isApplication: true },
    );
  }
}

/** Everything is in memory: what the client asks is read, and its answer begins, before this returns. */
function answer(
  { files, access, traffic, log }: UiParts,
  response: HttpResponse,
  request: HttpRequest,
  requestId: string,
): void {
  const options = {
    requestId,
    extraHeaders: extraHeadersFor(access, request),
    withoutBody: request.getMethod() === 'head',
    closeConnection: false,
  };
  let reply: Reply;
  try {
    traffic.requireOpen();
    reply = replyTo(files, request);
  } catch (thrown) {
    const { error, ...refusal } = errorReply(thrown);
    log[logLevelOf(error)]({ request_id: requestId, code: error.code, err: error }, 'no such file');
    const closeConnection = error.code === 'SHUTTING_DOWN';
    writeReply(response, refusal, { ...options, closeConnection });
    return;
  }
  // With 304 the length is that of the content, and the content is not sent.
  const withoutBody = options.withoutBody || reply.status === 304;
  if (withoutBody || !isLong(reply)) {
    writeReply(response, reply, { ...options, withoutBody });
    return;
  }
  traffic.begin();
  new Exchange(response, options, () => traffic.end()).reply(reply);
}

/** Throws ROUTE_NOT_FOUND or METHOD_NOT_ALLOWED. */
function replyTo(files: UiFiles | null, request: HttpRequest): Reply {
  const method = request.getMethod();
  if (method === 'options') return { status: 204, headers: { Allow: ALLOWED } };
  const path = request.getUrl();
  // Relative, so that it leads to the same place behind a proxy that adds a prefix to paths.
  const isFolder = path === '/ui';
  const file = files?.get(path === '/ui/' ? UI_PAGE : path.slice('/ui/'.length));
  if (!isFolder && file === undefined) {
    throw new VolantError('ROUTE_NOT_FOUND', files === null ? NOT_BUILT : undefined);
  }
  if (method !== 'get' && method !== 'head') {
    throw new VolantError('METHOD_NOT_ALLOWED', undefined, { headers: { Allow: ALLOWED } });
  }
  if (file === undefined) return { status: 308, headers: { Location: 'ui/', ...PROTECTION } };
  return fileReply(file, request);
}

function fileReply(file: UiFile, request: HttpRequest): Reply {
  const packed = acceptsGzip(request.getHeader('accept-encoding')) ? file.gzip : null;
  const tag = `"${file.tag}${packed === null ? '' : '-gzip'}"`;
  const isKnown = isListed(tag, request.getHeader('if-none-match'));
  return {
    status: isKnown ? 304 : 200,
    bytes: packed ?? file.plain,
    contentType: file.contentType,
    headers: {
      ETag: tag,
      'Cache-Control': file.isImmutable ? FOR_EVER : ASK_AGAIN,
      ...(file.gzip === null ? {} : { Vary: 'Accept-Encoding' }),
      ...(packed === null ? {} : { 'Content-Encoding': 'gzip' }),
      ...PROTECTION,
    },
  };
}

/** `gzip;q=0` refuses it (RFC 9110, 12.5.3). */
function acceptsGzip(accepted: string): boolean {
  return accepted.split(',').some((coding) => {
    const [name = '', ...parameters] = coding.split(';').map((part) => part.trim().toLowerCase());
    return name === 'gzip' && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
  });
}

/** Weak comparison (RFC 9110, 13.1.2). */
function isListed(tag: string, header: string): boolean {
  return header.split(',').some((entry) => {
    const listed = entry.trim();
    return listed === '*' || listed.replace(/^W\//, '') === tag;
  });
}
