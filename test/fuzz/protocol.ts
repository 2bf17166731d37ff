// fuzz: what run.ts and its worker thread say to each other. The input of the moment is in shared memory, so that
// it is known when the thread does not return.

export interface FuzzJob {
  readonly target: string;
  readonly seed: number;
  readonly seconds: number;
  /** Adds to the corpus what took new ways. */
  readonly keep: boolean;
  /** Runs this input alone. */
  readonly replay: Uint8Array | null;
  readonly memory: SharedArrayBuffer;
}

export interface FuzzReport {
  readonly runs: number;
  readonly ways: number;
  readonly newWays: number;
  readonly kept: number;
  readonly finding: { readonly input: Uint8Array; readonly why: string } | null;
}

/** Two numbers stand before the input: runs so far, and its length. */
const HEAD_BYTES = 8;

export function makeMemory(bytesMax: number): SharedArrayBuffer {
  return new SharedArrayBuffer(HEAD_BYTES + bytesMax);
}

export function noteInput(memory: SharedArrayBuffer, input: Buffer): void {
  const head = new Int32Array(memory, 0, 2);
  new Uint8Array(memory, HEAD_BYTES).set(input);
  Atomics.store(head, 1, input.length);
  Atomics.add(head, 0, 1);
}

export function notedInput(memory: SharedArrayBuffer): { runs: number; input: Buffer } {
  const head = new Int32Array(memory, 0, 2);
  const length = Atomics.load(head, 1);
  const input = Buffer.from(new Uint8Array(memory, HEAD_BYTES, length));
  return { runs: Atomics.load(head, 0), input };
}
