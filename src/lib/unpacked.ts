// lib: a body that a server has packed for the way, as it was before. All of what came must be what was packed: a
// decoder that is done early would take the beginning of a file for the whole.

import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { createBrotliDecompress, createUnzip } from 'node:zlib';
import { FinalFailure } from './connection-failure.ts';

const CODINGS_MAX = 5;

type Decoder = ReturnType<typeof decoderFor>;

/**
 * The body as it was packed in the order of `codings`, the value of Content-Encoding. Nobody was asked to pack anything;
 * servers do so all the same. Throws, and the body fails with, FinalFailure or an error of zlib for what cannot be unpacked.
 */
export function unpacked(body: Readable, codings: string): Readable {
  const inOrder = codings
    .split(',')
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => coding !== '' && coding !== 'identity');
  if (inOrder.length > CODINGS_MAX) throw new FinalFailure('the answer is packed too often');
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
    // The decoder takes nothing more: what follows is only counted.
    packed.unpipe(decoder);
    packed.resume();
    await finished(packed, { writable: false });
    if (bytes !== decoder.bytesWritten) {
      throw new FinalFailure('something follows what the server has packed');
    }
  } finally {
    packed.destroy();
    decoder.destroy();
  }
}

function decoderFor(coding: string) {
  if (coding === 'br') return createBrotliDecompress();
  if (['gzip', 'x-gzip', 'deflate'].includes(coding)) return createUnzip();
  throw new FinalFailure(`the answer is packed in a way that is not known: ${coding}`);
}
