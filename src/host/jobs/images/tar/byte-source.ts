// jobs, images, tar: reads a stream of bytes in pieces of the sizes that a format asks for. Nothing here knows a format.

/** A stream that ended in the middle of what was asked for. */
export class Truncated extends Error {
  override readonly name = 'Truncated';
}

/** A reader of a stream. It keeps at most one piece of the stream in memory. */
export class ByteSource {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #piece: Uint8Array = new Uint8Array(0);
  #at = 0;

  constructor(stream: AsyncIterable<Uint8Array>) {
    this.#pieces = stream[Symbol.asyncIterator]();
  }

  /** Returns exactly this many bytes, which the caller bounds; null at the end of the stream. Throws Truncated. */
  async read(bytes: number): Promise<Buffer | null> {
    const parts: Uint8Array[] = [];
    let missing = bytes;
    for await (const part of this.take(bytes, true)) {
      parts.push(part);
      missing -= part.length;
    }
    if (missing === bytes && bytes > 0) return null;
    if (missing > 0) throw new Truncated('it ends in the middle of an entry');
    return Buffer.concat(parts, bytes);
  }

  /** Yields the next bytes as they come. Throws Truncated, unless the stream may end before. */
  async *take(bytes: number, mayEnd = false): AsyncGenerator<Uint8Array> {
    let missing = bytes;
    while (missing > 0) {
      if (this.#at === this.#piece.length && !(await this.#next())) {
        if (mayEnd) return;
        throw new Truncated('it ends in the middle of an entry');
      }
      const part = this.#piece.subarray(this.#at, this.#at + missing);
      this.#at += part.length;
      missing -= part.length;
      yield part;
    }
  }

  /** Discards the next bytes. Throws Truncated. */
  async pass(bytes: number): Promise<void> {
    for await (const part of this.take(bytes)) void part;
  }

  /** Reads the stream to its end, so that what counts or hashes it has seen all of it. */
  async drain(): Promise<void> {
    while (await this.#next());
  }

  async #next(): Promise<boolean> {
    for (;;) {
      const { done, value } = await this.#pieces.next();
      if (done) return false;
      this.#piece = value;
      this.#at = 0;
      if (value.length > 0) return true;
    }
  }
}
