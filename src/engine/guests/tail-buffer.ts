// engine, guests: keeps the last bytes of a stream, in a buffer of fixed size.

export class TailBuffer {
  readonly #bytes: Buffer;
  /** The position of the next byte. */
  #next = 0;
  #total = 0;

  constructor(bytesMax: number) {
    this.#bytes = Buffer.alloc(bytesMax);
  }

  /** true once bytes were dropped. */
  get overflowed(): boolean {
    return this.#total > this.#bytes.length;
  }

  append(chunk: Uint8Array): void {
    const size = this.#bytes.length;
    const kept = chunk.subarray(Math.max(0, chunk.length - size));
    const untilEnd = Math.min(kept.length, size - this.#next);
    this.#bytes.set(kept.subarray(0, untilEnd), this.#next);
    this.#bytes.set(kept.subarray(untilEnd), 0);
    this.#next = (this.#next + kept.length) % size;
    this.#total += chunk.length;
  }

  /** A copy of the kept bytes, oldest first. */
  contents(): Buffer {
    if (!this.overflowed) return Buffer.from(this.#bytes.subarray(0, this.#total));
    return Buffer.concat([this.#bytes.subarray(this.#next), this.#bytes.subarray(0, this.#next)]);
  }
}
