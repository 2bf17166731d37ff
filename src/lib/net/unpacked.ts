// lib, net: decompresses the body of an answer. It checks that the decoder consumed everything that arrived: a
// decoder that ends early would take the start of a file for all of it.

import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { createBrotliDecompress, createUnzip } from 'node:zlib';
import { FinalFailure } from './connection-failure.ts';

const CODINGS_MAX = 5;

type Decoder = ReturnType<typeof decoderFor>;

/**
 * Decompresses a body by `codings`, the value of Content-Encoding. Servers may compress although the request did not
 * ask for it. Throws, or the body fails with, FinalFailure or an error of zlib.
 */
export function unpacked(body: Readable, codings: string): Readable {
  const inOrder = codings
    .split(',')
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => coding !== '' && coding !== 'identity');
  if (inOrder.length > CODINGS_MAX)
    throw new FinalFailure('the answer has too many content encodings');
  return inOrder.reduceRight<Readable>((packed, coding) => {
    return Readable.from(unpackOnce(packed, decoderFor(coding)), { objectMode: false });
  }, body);
}

async function* unpackOnce(
  packed: Readable,
  decoder: Decoder,
): AsyncGenerator<Uint8Array, void, undefined> {
  let bytes = 0;
  packed.on('data', (piece: Uint8Array) => {
    bytes += piece.length;
  });
  packed.once('error', (error) => decoder.destroy(error));
  packed.pipe(decoder);
  try {
    yield* decoder;
    // The decoder has ended: the rest is only counted.
    packed.unpipe(decoder);
    packed.resume();
    await finished(packed, { writable: false });
    if (bytes !== decoder.bytesWritten) {
      throw new FinalFailure('the compressed answer is followed by other data');
    }
  } finally {
    packed.destroy();
    decoder.destroy();
  }
}

function decoderFor(coding: string) {
  if (coding === 'br') return createBrotliDecompress();
  if (['gzip', 'x-gzip', 'deflate'].includes(coding)) return createUnzip();
  throw new FinalFailure(`the answer has an unknown content encoding: ${coding}`);
}
