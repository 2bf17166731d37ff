// engine, execs: collects the newest bytes of an output, up to a bound.

export class NewestBytes {
  readonly #most: number;
  readonly #chunks: Buffer[] = [];
  #length = 0;

  constructor(most: number) {
    this.#most = most;
  }

  add(bytes: Buffer): void {
    this.#chunks.push(bytes);
    this.#length += bytes.length;
    // Whole chunks only, so that nothing is copied until the end.
    while (this.#length - (this.#chunks[0]?.length ?? 0) >= this.#most) {
      this.#length -= this.#chunks.shift()?.length ?? 0;
    }
  }

  contents(): Buffer {
    const all = Buffer.concat(this.#chunks, this.#length);
    return all.subarray(Math.max(0, all.length - this.#most));
  }
}
