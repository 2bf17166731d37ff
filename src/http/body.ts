// http: reading a request's body: bounded in size and time, copied from what the server lends us.

import { isUtf8 } from 'node:buffer';
import { VolantError } from '../lib/errors.ts';
import type { Exchange } from './exchange.ts';
import { JsonProblem, readJson } from './json-body.ts';

/**
 * The whole body. Must be called before the first await of a handler. Rejects with BODY_TOO_LARGE or
 * REQUEST_TIMEOUT; after those the connection must be closed, its rest is never read. A client that
 * goes away is a body that does not come.
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
      const tooLarge = new VolantError('BODY_TOO_LARGE', `The body may have ${bytesMax} bytes`);
      reject(bytes > bytesMax ? tooLarge : new VolantError('REQUEST_TIMEOUT'));
    };
    let quarters = 0;
    const timer = setInterval(() => {
      quarters += 1;
      if (quarters === 4) return fail();
      // The server cuts off without a word who sends less than 160 KiB in 10 s; this winds up its
      // clock again, so that the client gets its time and then an answer.
      exchange.response.pause();
      exchange.response.resume();
    }, timeoutMs / 4);
    exchange.onAborted(fail);
    exchange.response.onData((chunk, isLast) => {
      if (failed) return;
      bytes += chunk.byteLength;
      if (bytes > bytesMax) {
        // The rest is thrown away as it comes and answered then: a connection that is closed before
        // all was read is reset, and most clients would not see why.
        chunks.length = 0;
        if (isLast) fail();
        return;
      }
      // The memory of a chunk is only ours until this returns.
      chunks.push(Buffer.from(new Uint8Array(chunk)));
      if (!isLast) return;
      clearInterval(timer);
      resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, bytes));
    });
  });
}

/**
 * JSON whatever Content-Type says: clients forget it, and nothing else is ever sent here. JSON_INVALID for what is none,
 * BODY_INVALID for JSON that does not mean the same to every program.
 */
export function parseJson(body: Buffer): unknown {
  if (body.length === 0) {
    throw new VolantError('JSON_INVALID', 'A body is required', {
      details: { body: 'is required' },
    });
  }
  if (!isUtf8(body)) {
    // Decoded all the same, each wrong byte would be kept as another character.
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
