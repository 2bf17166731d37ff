// jobs, images: a layer as the tar stream that it contains: unpacked, and compared with both of its digests, that of the
// blob and that of what is in it.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { errnoOf, JobFault } from '../fault.ts';
import { runFilter } from '../run-program.ts';
import { TarInvalid } from './tar/tar-invalid.ts';

export interface Layer {
  readonly path: string;
  /** SHA-256 of the file in hexadecimal. */
  readonly digest: string;
  /** SHA-256 of what is in it. */
  readonly contentDigest: string;
}

const MAGIC = { gzip: Buffer.from([0x1f, 0x8b]), zstd: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]) };
const CHUNK_BYTES = 256 * 1024;

/**
 * Hands the unpacked stream of a layer to `read`, which reads it to its end. Throws TarInvalid for a blob that is damaged
 * or has another content than the image says, and what `read` throws.
 */
export async function withLayer(
  layer: Layer,
  signal: AbortSignal,
  read: (stream: AsyncIterable<Uint8Array>) => Promise<void>,
): Promise<void> {
  const kind = await compressionOf(layer.path);
  const packed = createHash('sha256');
  const unpacked = createHash('sha256');
  const file = createReadStream(layer.path, { highWaterMark: CHUNK_BYTES });
  const content = new PassThrough({ highWaterMark: CHUNK_BYTES });
  const end = new AbortController();
  const flow = flowOf(kind, hashed(file, packed), content, AbortSignal.any([signal, end.signal]));
  // It is awaited below. Until then its failure is that of the stream that is read.
  flow.catch(() => undefined);
  try {
    await read(hashed(content, unpacked));
    await flow;
  } catch (error) {
    signal.throwIfAborted();
    throw asDamaged(error);
  } finally {
    end.abort();
    content.destroy();
    await flow.catch(() => undefined);
  }
  if (packed.digest('hex') !== layer.digest)
    throw new TarInvalid('is damaged: its digest is wrong');
  if (unpacked.digest('hex') !== layer.contentDigest) {
    throw new TarInvalid('has another content than the config of the image says');
  }
}

type Compression = 'none' | 'gzip' | 'zstd';

/** What the first bytes say. Media types of images are wrong at times. */
async function compressionOf(path: string): Promise<Compression> {
  const file = await open(path, 'r');
  try {
    const head = Buffer.alloc(4);
    await file.read(head, 0, head.length, 0);
    if (head.subarray(0, 2).equals(MAGIC.gzip)) return 'gzip';
    return head.equals(MAGIC.zstd) ? 'zstd' : 'none';
  } finally {
    await file.close();
  }
}

function flowOf(
  kind: Compression,
  file: AsyncIterable<Uint8Array>,
  content: PassThrough,
  signal: AbortSignal,
): Promise<void> {
  if (kind === 'none') return pipeline(file, content, { signal });
  if (kind === 'gzip') {
    return pipeline(file, createGunzip({ chunkSize: CHUNK_BYTES }), content, { signal });
  }
  return throughZstd(file, content, signal);
}

/** Node 20 cannot unpack zstd. */
async function throughZstd(
  input: AsyncIterable<Uint8Array>,
  output: PassThrough,
  signal: AbortSignal,
): Promise<void> {
  try {
    const status = await runFilter('zstd', ['-dcq', '--no-progress'], { input, output, signal });
    if (status === 127) {
      const why = 'A layer is compressed with zstd: install the package zstd';
      throw new JobFault('FEATURE_UNAVAILABLE', why);
    }
    if (status !== 0) throw new TarInvalid('is damaged: zstd cannot unpack it');
    output.end();
  } catch (error) {
    output.destroy(error instanceof Error ? error : new Error(String(error)));
    throw error;
  }
}

async function* hashed(
  content: AsyncIterable<Uint8Array>,
  hash: ReturnType<typeof createHash>,
): AsyncGenerator<Uint8Array> {
  for await (const piece of content) {
    hash.update(piece);
    yield piece;
  }
}

/** Errors of zlib are those of the data. */
function asDamaged(error: unknown): unknown {
  const code = errnoOf(error) ?? '';
  return code.startsWith('Z_') ? new TarInvalid('is damaged: it cannot be unpacked') : error;
}
