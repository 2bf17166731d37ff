// http: answers as data, and how they are written. Writing happens in one cork and once.

import { toVolantError, type VolantError } from '../lib/errors.ts';
import type { HttpResponse } from './uws.ts';

export interface Reply {
  readonly status: number;
  /** Sent as it is; undefined is an empty body. */
  readonly body?: string;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const REASONS: Readonly<Record<number, string>> = {
  200: 'OK',
  201: 'Created',
  202: 'Accepted',
  204: 'No Content',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  409: 'Conflict',
  412: 'Precondition Failed',
  413: 'Payload Too Large',
  422: 'Unprocessable Content',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
};

export const JSON_TYPE = 'application/json';

export function json(status: number, value: unknown): Reply {
  return { status, body: JSON.stringify(value) };
}

/** A body that is JSON text already. */
export function jsonText(status: number, body: string): Reply {
  return { status, body };
}

export function empty(status: number): Reply {
  return { status };
}

/** `{error, code, details?}`; a bug shows as INTERNAL without a word about itself. */
export function errorReply(thrown: unknown): Reply & { readonly error: VolantError } {
  const error = toVolantError(thrown);
  const { message, code, details, status, retryAfterSeconds } = error;
  const headers: Record<string, string> = { ...error.headers };
  if (retryAfterSeconds !== undefined) headers['Retry-After'] = String(retryAfterSeconds);
  const body = { error: message, code, ...(details === undefined ? {} : { details }) };
  return { status, body: JSON.stringify(body), headers, error };
}

export interface WriteOptions {
  /** Headers that every answer of this daemon has. */
  readonly extraHeaders: readonly (readonly [string, string])[];
  /** HEAD: all but the body. */
  readonly withoutBody: boolean;
  readonly closeConnection: boolean;
}

/** Writes a whole answer. Must be called inside cork, or before the first await of a handler. */
export function writeReply(response: HttpResponse, reply: Reply, options: WriteOptions): void {
  // 200 is what the server writes by itself.
  if (reply.status !== 200) {
    response.writeStatus(`${reply.status} ${REASONS[reply.status] ?? 'Unknown'}`);
  }
  if (reply.body !== undefined) {
    response.writeHeader('Content-Type', reply.contentType ?? JSON_TYPE);
  }
  for (const [name, value] of Object.entries(reply.headers ?? {}))
    response.writeHeader(name, value);
  for (const [name, value] of options.extraHeaders) response.writeHeader(name, value);
  if (options.closeConnection) response.writeHeader('Connection', 'close');
  if (options.withoutBody || reply.status === 204) {
    // The length goes by hand: given one, endWithoutBody waits for a body for ever, and given
    // undefined it announces 2^63 bytes.
    if (reply.status !== 204) {
      response.writeHeader('Content-Length', String(Buffer.byteLength(reply.body ?? '')));
    }
    response.endWithoutBody();
    return;
  }
  response.end(reply.body ?? '', options.closeConnection);
}
