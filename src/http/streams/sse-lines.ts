// http, streams: parses the data and ids of Server-Sent Events from a guest. Comments and other fields are skipped. The
// agent sends one data line for each event.

export interface SseLine {
  readonly data: string;
  /** The guest's number of the line; null if it has none. */
  readonly id: number | null;
}

export class SseLines {
  readonly #bytesMax: number;
  readonly #decoder = new TextDecoder();
  #rest = '';
  #id: number | null = null;

  /** `bytesMax` is the maximum length of a line. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The data lines that are complete now; null if a line is too long. */
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
