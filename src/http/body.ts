// http: reading a request's body: bounded in size and time, copied from what the server lends us.

import { VolantError } from '../lib/errors.ts';
import type { HttpResponse } from './uws.ts';

/**
 * The whole body. Must be called before the first await of a handler. Rejects with BODY_TOO_LARGE or
 * REQUEST_TIMEOUT; after those the connection must be closed, its rest is never read.
 */
export function readBody(
  response: HttpResponse,
  bytesMax: number,
  timeoutMs: number,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    let failed = false;
    const fail = (error: VolantError) => {
      failed = true;
      clearTimeout(timer);
      reject(error);
    };
    const timer = setTimeout(() => fail(new VolantError('REQUEST_TIMEOUT')), timeoutMs);
    response.onData((chunk, isLast) => {
      if (failed) return;
      bytes += chunk.byteLength;
      if (bytes > bytesMax) {
        return fail(new VolantError('BODY_TOO_LARGE', `The body may have ${bytesMax} bytes`));
      }
      // The memory of a chunk is only ours until this returns.
      chunks.push(Buffer.from(new Uint8Array(chunk)));
      if (!isLast) return;
      clearTimeout(timer);
      resolve(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, bytes));
    });
  });
}

/** JSON whatever Content-Type says: clients forget it, and nothing else is ever sent here. */
export function parseJson(body: Buffer): unknown {
  if (body.length === 0) {
    throw new VolantError('JSON_INVALID', 'A body is required', {
      details: { body: 'is required' },
    });
  }
  try {
    return JSON.parse(body.toString('utf8'));
  } catch (error) {
    const why = error instanceof Error ? error.message : '';
    throw new VolantError('JSON_INVALID', undefined, { details: { body: why }, cause: error });
  }
}
