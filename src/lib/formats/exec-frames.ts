// lib, formats: encodes and parses the frames between the daemon and an exec in a guest. native/guest/README.md describes them;
// native/guest/exec/frames.c is the other side.

/** Types of frames to the agent. */
const TO_AGENT = { input: 1, close: 2, size: 3, signal: 4, ask: 5 } as const;

/** Types of frames from the agent. */
const FROM_AGENT = { stdout: 1, stderr: 2, taken: 3, end: 4 } as const;

const HEAD_BYTES = 4;
const OFFSET_BYTES = 8;
const TAKEN_BYTES = 9;

/** The agent sends at most 32 KiB in one frame. */
const PAYLOAD_BYTES_MAX = 64 * 1024;

/** Input of one frame. */
const INPUT_BYTES_MAX = 64 * 1024;

export type ExecStreamName = 'stdout' | 'stderr';

export type ExecFrame =
  | {
      readonly type: ExecStreamName;
      /** Number of the first byte, from the start of the program. */
      readonly offset: number;
      readonly bytes: Buffer;
    }
  | {
      readonly type: 'taken';
      /** Bytes of input of this connection that the program's standard input has taken. */
      readonly taken: number;
      readonly isOpen: boolean;
    }
  | { readonly type: 'end'; readonly text: string };

function encode(type: number, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(HEAD_BYTES + payload.length);
  frame.writeUInt8(type, 0);
  frame.writeUIntLE(payload.length, 1, 3);
  frame.set(payload, HEAD_BYTES);
  return frame;
}

const NOTHING = new Uint8Array(0);

/** Bytes for standard input, as one or several frames. */
export function encodeInput(bytes: Uint8Array): Buffer {
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += INPUT_BYTES_MAX) {
    frames.push(encode(TO_AGENT.input, bytes.subarray(at, at + INPUT_BYTES_MAX)));
  }
  return Buffer.concat(frames);
}

/** Ends standard input. */
export const encodeClose = () => encode(TO_AGENT.close, NOTHING);

/** Asks how much of the input before this frame was taken, once all of it was. */
export const encodeAsk = () => encode(TO_AGENT.ask, NOTHING);

/** Sends a signal to the process group. */
export const encodeSignal = (number: number) => encode(TO_AGENT.signal, Uint8Array.of(number));

/** Sets the size of the terminal. */
export function encodeSize(rows: number, columns: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt16LE(rows, 0);
  payload.writeUInt16LE(columns, 2);
  return encode(TO_AGENT.size, payload);
}

/** Splits the bytes of an agent into frames. */
export class ExecFrameParser {
  #rest: Buffer = Buffer.alloc(0);

  /** The frames that are complete now; null if the bytes are not of this protocol. */
  push(chunk: Buffer): ExecFrame[] | null {
    let rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const frames: ExecFrame[] = [];
    while (rest.length >= HEAD_BYTES) {
      const length = rest.readUIntLE(1, 3);
      if (length > PAYLOAD_BYTES_MAX) return null;
      if (rest.length < HEAD_BYTES + length) break;
      const frame = frameOf(rest.readUInt8(0), rest.subarray(HEAD_BYTES, HEAD_BYTES + length));
      if (frame === null) return null;
      frames.push(frame);
      rest = rest.subarray(HEAD_BYTES + length);
    }
    // A copy, so that a small rest does not keep a large chunk.
    this.#rest = rest.length === 0 ? rest : Buffer.from(rest);
    return frames;
  }
}

function frameOf(type: number, payload: Buffer): ExecFrame | null {
  if (type === FROM_AGENT.stdout || type === FROM_AGENT.stderr) {
    const offset = numberIn(payload);
    if (offset === null || payload.length === OFFSET_BYTES) return null;
    const name = type === FROM_AGENT.stdout ? 'stdout' : 'stderr';
    return { type: name, offset, bytes: payload.subarray(OFFSET_BYTES) };
  }
  if (type === FROM_AGENT.taken && payload.length === TAKEN_BYTES) {
    const taken = numberIn(payload);
    return taken === null ? null : { type: 'taken', taken, isOpen: payload[8] === 1 };
  }
  return type === FROM_AGENT.end ? { type: 'end', text: payload.toString() } : null;
}

/** The number of 8 bytes at the front; null if there are fewer, or it is not exact as a number. */
function numberIn(payload: Buffer): number | null {
  if (payload.length < OFFSET_BYTES) return null;
  const number = Number(payload.readBigUInt64LE(0));
  return Number.isSafeInteger(number) ? number : null;
}
