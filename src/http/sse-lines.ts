// http: data and ids of Server-Sent Events as they come from a guest. Comments and other fields are skipped;
// an event of several data lines is none of ours.

export interface SseLine {
  readonly data: string;
  /** As the guest numbers it; null where it does not. */
  readonly id: number | null;
}

export class SseLines {
  readonly #bytesMax: number;
  readonly #decoder = new TextDecoder();
  #rest = '';
  #id: number | null = null;

  /** A line may not be longer than this. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The data that are complete now; null when a line is too long. */
  push(chunk: Uint8Array): readonly SseLine[] | null {
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > this.#bytesMax) return null;
    return lines.flatMap((line) => {
      if (line.startsWith('id:')) this.#id = numberIn(line.slice(3).trim());
      if (!line.startsWith('data:')) return [];
      const id = this.#id;
      this.#id = null;
      return [{ data: line.slice(5).trim(), id }];
    });
  }
}

function numberIn(text: string): number | null {
  return /^\d{1,15}$/.test(text) ? Number(text) : null;
}
