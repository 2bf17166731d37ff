// fuzz: what a target is: one parser, and what holds for whatever it is given.

export interface FuzzTarget {
  readonly name: string;
  /** No input is longer. */
  readonly bytesMax: number;
  /** Pieces that the parser knows: put into inputs as they are. */
  readonly tokens: readonly string[];
  /** Inputs are JSON: also changed as values. */
  readonly isJson?: boolean;
  /** Throws, or rejects, when something does not hold. Whatever a parser may throw by its promise is caught inside. */
  run(input: Buffer): void | Promise<void>;
}

/** A finding with a sentence. */
export function hold(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Error(`does not hold: ${what}`);
}

/** What `parse` returns; undefined when it throws what it may. */
export function allowing<T>(isAllowed: (error: unknown) => boolean, parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (isAllowed(error)) return undefined;
    throw error;
  }
}

/** The bytes of an input, one after the other; zeros behind its end. */
export class InputReader {
  readonly #input: Buffer;
  #at = 0;

  constructor(input: Buffer) {
    this.#input = input;
  }

  get atEnd(): boolean {
    return this.#at >= this.#input.length;
  }

  byte(): number {
    this.#at += 1;
    return this.#input[this.#at - 1] ?? 0;
  }

  number(): number {
    return this.byte() * 256 + this.byte();
  }

  bytes(count: number): Buffer {
    this.#at += count;
    return this.#input.subarray(this.#at - count, this.#at);
  }

  rest(): Buffer {
    return this.bytes(Math.max(0, this.#input.length - this.#at));
  }
}

/** The same bytes in pieces of 1 to 32, whose lengths `seed` says. */
export function piecesOf(bytes: Buffer, seed: number): Buffer[] {
  const pieces: Buffer[] = [];
  let state = seed + 1;
  for (let at = 0; at < bytes.length; ) {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    const length = 1 + (Math.floor(state / 65536) % 32);
    pieces.push(bytes.subarray(at, at + length));
    at += length;
  }
  return pieces;
}
