// http, exchange: reads a request's body, bounded in size and time. Chunks are copied, because the server only lends them.

import { isUtf8 } from 'node:buffer';
import { VolantError } from '../../lib/errors.ts';
import type { Exchange } from './exchange.ts';
import { JsonProblem, readJson } from './json-body.ts';

/**
 * The whole body. Must be called before the first await of a handler. Rejects with BODY_TOO_LARGE or REQUEST_TIMEOUT; the
 * connection must be closed after those, because the rest is never read. It rejects, too, if the client disconnects; nobody
 * gets that answer.
 */
export function readBody(exchange: Exchange, bytesMax: number, timeoutMs: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    let failed = false;
    const fail = () => {
      failed = true;
      chunks.length = 0;
      clearInterval(timer);
      const tooLarge = new VolantError(
        'BODY_TOO_LARGE',
        `The body may have at most ${bytesMax} bytes`,
      );
      reject(bytes > bytesMax ? tooLarge : new VolantError('REQUEST_TIMEOUT'));
    };
    let quarters = 0;
    const timer = setInterval(() => {
      quarters += 1;
      if (quarters === 4) return fail();
      // The server disconnects a client that sends less than 160 KiB in 10 s. pause() restarts that timer, so that the
      // client gets its full time and then an answer.
      exchange.response.pause();
      exchange.response.resume();
    }, timeoutMs / 4);
    exchange.onAborted(fail);
    exchange.response.onData((chunk, isLast) => {
      if (failed) return;
      bytes += chunk.byteLength;
      if (bytes > bytesMax) {
        // The rest is discarded as it arrives, and the answer follows then: a connection that is closed with unread data is
        // reset, and most clients would not see the answer.
        chunks.length = 0;
        if (isLast) fail();
        return;
      }
      // The memory of a chunk is only valid until this function returns.
      chunks.push(Buffer.from(new Uint8Array(chunk)));
      if (!isLast) return;
      clearInterval(timer);
      resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, bytes));
    });
  });
}

/**
 * The value of a JSON body. Content-Type is not checked: clients forget it, and this API takes nothing else. Throws
 * JSON_INVALID for text that is not JSON, and BODY_INVALID for JSON that different parsers read differently.
 */
export function parseJson(body: Buffer): unknown {
  if (body.length === 0) {
    throw new VolantError('JSON_INVALID', 'A body is required', {
      details: { body: 'is required' },
    });
  }
  if (!isUtf8(body)) {
    // A lenient decoder would replace each invalid byte with another character.
    throw new VolantError('JSON_INVALID', 'The request body is not UTF-8', {
      details: { body: 'is not UTF-8' },
    });
  }
  try {
    return readJson(body);
  } catch (error) {
    if (!(error instanceof JsonProblem)) throw error;
    const { path, message, cause, isNoJson } = error;
    const options = { details: { [path]: message }, cause };
    if (isNoJson) throw new VolantError('JSON_INVALID', undefined, options);
    throw new VolantError('BODY_INVALID', undefined, options);
  }
}
