// http: the data of Server-Sent Events as they come from a guest. Comments and other fields are skipped;
// an event of several data lines is none of ours.

export class SseLines {
  readonly #bytesMax: number;
  readonly #decoder = new TextDecoder();
  #rest = '';

  /** A line may not be longer than this. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The data that are complete now; null when a line is too long. */
  push(chunk: Uint8Array): readonly string[] | null {
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > this.#bytesMax) return null;
    return lines.flatMap((line) => (line.startsWith('data:') ? [line.slice(5).trim()] : []));
  }
}
