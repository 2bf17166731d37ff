// http: answers as data, and how they are written. Writing happens in one cork and once.

import { STATUS_CODES } from 'node:http';
import { toVolantError, type VolantError } from '../lib/errors.ts';
import { REQUEST_ID_HEADER } from './request-id.ts';
import { type HttpResponse, utf8 } from './uws.ts';

export interface Reply {
  readonly status: number;
  /** Sent as it is; undefined is an empty body. */
  readonly body?: string;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export const JSON_TYPE = 'application/json';

/** An id has no character that ends a line: see RequestIds. */
const ID_LINE = `\r\n${REQUEST_ID_HEADER}: `;

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

/** Members of the body of an error that are an operation's own. */
export type RefusalShape = (error: VolantError) => Readonly<Record<string, unknown>>;

/** `{error, code, details?}`; a bug shows as INTERNAL without a word about itself. */
export function errorReply(
  thrown: unknown,
  shape?: RefusalShape,
): Reply & { readonly error: VolantError } {
  const error = toVolantError(thrown);
  const { message, code, details, status, retryAfterSeconds } = error;
  const headers: Record<string, string> = { ...error.headers };
  if (retryAfterSeconds !== undefined) headers['Retry-After'] = String(retryAfterSeconds);
  const body = {
    error: message,
    code,
    ...(details === undefined ? {} : { details }),
    ...shape?.(error),
  };
  return { status, body: JSON.stringify(body), headers, error };
}

/**
 * How loudly the log tells of an error that is answered: what is the daemon's or its host's own trouble is an error. What a
 * guest, another server or too many clients are the cause of could fill the log.
 */
export function loudnessOf({ status }: VolantError): 'error' | 'debug' {
  return status === 500 || status === 507 ? 'error' : 'debug';
}

export interface WriteOptions {
  /** Of the exchange; every answer has it. */
  readonly requestId: string;
  /** What this daemon's other settings add to every answer. */
  readonly extraHeaders: readonly (readonly [string, string])[];
  /** HEAD: all but the body. */
  readonly withoutBody: boolean;
  readonly closeConnection: boolean;
}

/** What is longer is handed over as the client takes it; the server would keep a copy of any size. */
const WHOLE_BODY_CHARACTERS_MAX = 64 * 1024;

/** true: the answer is for an Exchange, which can wait until it is sent. */
export function isLong({ body }: Reply): boolean {
  return body !== undefined && body.length > WHOLE_BODY_CHARACTERS_MAX;
}

/**
 * Writes a whole answer. Must be called inside cork, or before the first await of a handler. A long one
 * may take longer than this call, but only where there is an `onSent` to tell.
 */
export function writeReply(
  response: HttpResponse,
  reply: Reply,
  options: WriteOptions,
  onSent?: () => void,
): void {
  // 200 is what the server writes by itself.
  if (reply.status !== 200) {
    response.writeStatus(`${reply.status} ${STATUS_CODES[reply.status] ?? 'Unknown'}`);
  }
  // Two headers in one call where there are two: each call costs a read more than all else that is done for it here.
  const id = options.requestId;
  if (reply.body === undefined) response.writeHeader(REQUEST_ID_HEADER, id);
  else response.writeHeader('Content-Type', `${reply.contentType ?? JSON_TYPE}${ID_LINE}${id}`);
  for (const [name, value] of Object.entries(reply.headers ?? {}))
    response.writeHeader(name, utf8(value));
  for (const [name, value] of options.extraHeaders) response.writeHeader(name, value);
  if (options.withoutBody || reply.status === 204) {
    // end() would write this by itself.
    if (options.closeConnection) response.writeHeader('Connection', 'close');
    // The length goes by hand: given one, endWithoutBody waits for a body for ever, and given
    // undefined it announces 2^63 bytes.
    if (reply.status !== 204) {
      response.writeHeader('Content-Length', String(Buffer.byteLength(reply.body ?? '')));
    }
    response.endWithoutBody();
  } else if (onSent !== undefined && isLong(reply) && !options.closeConnection) {
    sendLong(response, utf8(reply.body ?? ''), onSent);
    return;
  } else {
    response.end(utf8(reply.body ?? ''), options.closeConnection);
  }
  onSent?.();
}

/** As much as the socket takes, and the rest each time it takes more. */
function sendLong(response: HttpResponse, body: Uint8Array, onSent: () => void): void {
  const sendFrom = (offset: number): boolean => {
    const [taken, complete] = response.tryEnd(body.subarray(offset), body.length);
    if (complete) onSent();
    return taken;
  };
  if (!sendFrom(0)) response.onWritable(sendFrom);
}
