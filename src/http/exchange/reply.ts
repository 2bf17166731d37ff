// http, exchange: answers as data, and how they are written: in one cork, and once.

import { STATUS_CODES } from 'node:http';
import { toVolantError, type VolantError } from '../../lib/errors.ts';
import { type HttpResponse, utf8, utf8Briefly } from '../uws.ts';
import { REQUEST_ID_HEADER } from './request-id.ts';

export interface Reply {
  readonly status: number;
  /** Sent unchanged; undefined for an empty body. */
  readonly body?: string;
  /** The body as bytes, if it was encoded before, or is no text. */
  readonly bytes?: Uint8Array;
  /** A body that is generated while an Exchange sends it, which reads it to its end or calls its `return`. */
  readonly pieces?: Iterator<string, void, void>;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export const JSON_TYPE = 'application/json';

/** An id contains no line break: see RequestIds. */
const ID_LINE = `\r\n${REQUEST_ID_HEADER}: `;

export function json(status: number, value: unknown): Reply {
  return { status, body: JSON.stringify(value) };
}

/** An answer whose body is JSON text already. */
export function jsonText(status: number, body: string): Reply {
  return { status, body };
}

export function empty(status: number): Reply {
  return { status };
}

/** Additional members in the error body of one operation. */
export type RefusalShape = (error: VolantError) => Readonly<Record<string, unknown>>;

/** `{error, code, details?}`. A bug is answered as INTERNAL without its own message. */
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
 * The log level of an error that is answered. Faults of the daemon or its host are logged as errors. Faults caused by a
 * guest, another server or too many clients could fill the log, so they are logged as debug.
 */
export function logLevelOf({ status }: VolantError): 'error' | 'debug' {
  return status === 500 || status === 507 ? 'error' : 'debug';
}

export interface WriteOptions {
  /** Id of the exchange; every answer has it. */
  readonly requestId: string;
  /** Headers that the settings add to every answer. */
  readonly extraHeaders: readonly (readonly [string, string])[];
  /** true for HEAD: headers without a body. */
  readonly withoutBody: boolean;
  readonly closeConnection: boolean;
}

/** A longer body is written at the client's speed; the server would otherwise buffer a copy of any size. */
const WHOLE_BODY_CHARACTERS_MAX = 64 * 1024;

/** true if the answer needs an Exchange, which can wait until it is sent. */
export function isLong({ body, bytes, pieces }: Reply): boolean {
  return pieces !== undefined || ((bytes ?? body)?.length ?? 0) > WHOLE_BODY_CHARACTERS_MAX;
}

/**
 * Writes a whole answer. Must be called inside cork, or before the first await of a handler. A long answer may need more
 * time than this call; it is sent in parts only if `onSent` is given.
 */
export function writeReply(
  response: HttpResponse,
  reply: Reply,
  options: WriteOptions,
  onSent?: () => void,
): void {
  // The server writes status 200 by default.
  if (reply.status !== 200) {
    response.writeStatus(`${reply.status} ${STATUS_CODES[reply.status] ?? 'Unknown'}`);
  }
  // Two headers in one call if there are two: this call dominates the cost of a read.
  const id = options.requestId;
  if ((reply.bytes ?? reply.body) === undefined && reply.pieces === undefined) {
    response.writeHeader(REQUEST_ID_HEADER, id);
  } else response.writeHeader('Content-Type', `${reply.contentType ?? JSON_TYPE}${ID_LINE}${id}`);
  if (reply.headers !== undefined) {
    for (const [name, value] of Object.entries(reply.headers)) {
      response.writeHeader(name, utf8(value));
    }
  }
  for (const [name, value] of options.extraHeaders) response.writeHeader(name, value);
  if (reply.pieces !== undefined) {
    // With a body, only the head is written here: see pieces.ts.
    if (!options.withoutBody) return;
    // The length of the body is unknown.
    response.writeHeader('Transfer-Encoding', 'chunked');
    response.endWithoutBody();
    onSent?.();
    return;
  }
  if (options.withoutBody || reply.status === 204) {
    // end() would write this header itself.
    const isTold = options.extraHeaders.some(([name]) => name === 'Connection');
    if (options.closeConnection && !isTold) response.writeHeader('Connection', 'close');
    // The length is written here, because endWithoutBody misuses it: if a length is given, it waits for a body forever; if
    // it is undefined, it announces 2^63 bytes.
    if (reply.status !== 204) {
      response.writeHeader(
        'Content-Length',
        String(reply.bytes?.length ?? Buffer.byteLength(reply.body ?? '')),
      );
    }
    response.endWithoutBody();
  } else if (onSent !== undefined && isLong(reply) && !options.closeConnection) {
    sendLong(response, reply.bytes ?? utf8(reply.body ?? ''), onSent);
    return;
  } else {
    response.end(reply.bytes ?? utf8Briefly(reply.body ?? ''), options.closeConnection);
  }
  onSent?.();
}

/** Writes as much as the socket takes, and the rest whenever it is writable. */
function sendLong(response: HttpResponse, body: Uint8Array, onSent: () => void): void {
  const sendFrom = (offset: number): boolean => {
    const [taken, complete] = response.tryEnd(body.subarray(offset), body.length);
    if (complete) onSent();
    return taken;
  };
  if (!sendFrom(0)) response.onWritable(sendFrom);
}
