// cli, copy: an archive that arrives as a stream, entry by entry. It decides nothing about files: see local-writer.ts.

import {
  BLOCK_BYTES,
  decodeHeader,
  type Entry,
  RECORDS_BYTES_MAX,
  TarProblem,
  withRecords,
} from './tar-format.ts';

/** An entry, with its content, which must be read before the next one or is skipped. */
export interface ReadEntry extends Entry {
  content(): AsyncGenerator<Buffer>;
}

/** Reads pieces of a stream. At most one chunk is in memory. */
class Pieces {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** Up to `bytesMax` bytes; null at the end. */
  async some(bytesMax: number): Promise<Buffer | null> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#chunks.next();
      if (done === true) return null;
      this.#rest = Buffer.from(value);
    }
    const piece = this.#rest.subarray(0, bytesMax);
    this.#rest = this.#rest.subarray(piece.length);
    return piece;
  }

  /** null at the end. Throws TarProblem if it comes in the middle. */
  async exactly(bytes: number): Promise<Buffer | null> {
    const pieces: Buffer[] = [];
    let left = bytes;
    while (left > 0) {
      const piece = await this.some(left);
      if (piece === null && left === bytes) return null;
      if (piece === null) throw new TarProblem('the archive is truncated');
      pieces.push(piece);
      left -= piece.length;
    }
    return Buffer.concat(pieces);
  }

  async drop(bytes: number): Promise<void> {
    for (let left = bytes; left > 0; ) {
      const piece = await this.some(left);
      if (piece === null) throw new TarProblem('the archive is truncated');
      left -= piece.length;
    }
  }
}

/** Reads to the end of the stream. Throws TarProblem. */
export async function* readTar(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<ReadEntry> {
  const pieces = new Pieces(chunks);
  let records: Buffer = Buffer.alloc(0);
  for (;;) {
    const block = await pieces.exactly(BLOCK_BYTES);
    // An archive that ends without its mark may be truncated.
    if (block === null) throw new TarProblem('the archive has no end');
    const plain = decodeHeader(block);
    if (plain === null) break;
    const padded = (size: number) => Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
    if (plain.flag === 'x') {
      if (plain.size > RECORDS_BYTES_MAX) throw new TarProblem('an extended header is too long');
      records = (await pieces.exactly(plain.size)) ?? Buffer.alloc(0);
      await pieces.drop(padded(plain.size) - plain.size);
      continue;
    }
    const { flag: _, ...header } = withRecords(plain, records);
    records = Buffer.alloc(0);
    const size = header.type === 'file' ? header.size : 0;
    let left = size;
    yield {
      ...header,
      size,
      content: async function* () {
        while (left > 0) {
          const piece = await pieces.some(left);
          if (piece === null) throw new TarProblem('the archive is truncated');
          left -= piece.length;
          yield piece;
        }
      },
    };
    await pieces.drop(left + padded(size) - size);
  }
  // What follows the end is padding; reading it shows whether the stream was complete.
  while ((await pieces.some(BLOCK_BYTES)) !== null);
}
