// hypervisor: encodes and parses the frames of the channel to a guest's agent. native/guest/README.md describes the
// protocol; native/guest/channel.c is the other side.

/** Types of frames, as in native/guest/channel.c. */
export const FRAME = {
  nop: 0,
  hello: 1,
  helloAck: 2,
  open: 3,
  data: 4,
  window: 5,
  end: 6,
  reset: 7,
  changed: 8,
  result: 9,
} as const;

export const HEADER_BYTES = 8;
export const PAYLOAD_BYTES_MAX = 4096;
export const NONCE_BYTES = 16;

/** Bytes that one side may send on a stream before the other grants more. */
export const WINDOW_BYTES = 64 * 1024;

const MAGIC = Buffer.from('VOLANT01');

export interface Frame {
  readonly type: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/**
 * Encodes a frame: type (1 byte), reserved (1), payload length (2), stream number (4), little-endian; then the
 * payload.
 */
export function encodeFrame(type: number, stream: number, payload?: Uint8Array): Buffer {
  const length = payload?.length ?? 0;
  const frame = Buffer.allocUnsafe(HEADER_BYTES + length);
  frame.writeUInt8(type, 0);
  frame.writeUInt8(0, 1);
  frame.writeUInt16LE(length, 2);
  frame.writeUInt32LE(stream, 4);
  if (payload !== undefined) frame.set(payload, HEADER_BYTES);
  return frame;
}

/**
 * The first bytes of the host on a connection. An agent may be in the middle of a frame from an earlier daemon: the
 * zero bytes complete that frame, and the rest of them are no-op frames.
 */
export function encodeGreeting(nonce: Buffer): Buffer {
  const padding = Buffer.alloc(HEADER_BYTES + PAYLOAD_BYTES_MAX);
  return Buffer.concat([padding, encodeHello(nonce)]);
}

/** Encodes the hello: it starts a session with this nonce. */
export function encodeHello(nonce: Buffer): Buffer {
  return encodeFrame(FRAME.hello, 0, Buffer.concat([MAGIC, nonce]));
}

/** Encodes the permission to send more bytes on a stream. */
export function encodeWindow(stream: number, bytes: number): Buffer {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt32LE(bytes);
  return encodeFrame(FRAME.window, stream, payload);
}

/** Splits incoming bytes into frames. Everything before the answer to the hello is skipped. */
export class FrameParser {
  readonly #acknowledgement: Buffer;
  #buffer: Buffer = Buffer.alloc(0);
  #inStep = false;

  constructor(nonce: Buffer) {
    this.#acknowledgement = encodeFrame(FRAME.helloAck, 0, nonce);
  }

  /** Whether the answer to the hello was seen. */
  get inStep(): boolean {
    return this.#inStep;
  }

  /** Returns the frames that are complete; null when the bytes are not this protocol. */
  push(chunk: Buffer): readonly Frame[] | null {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    if (!this.#inStep && !this.#findAcknowledgement()) return [];
    const frames: Frame[] = [];
    let offset = 0;
    while (this.#buffer.length - offset >= HEADER_BYTES) {
      const length = this.#buffer.readUInt16LE(offset + 2);
      if (length > PAYLOAD_BYTES_MAX) return null;
      const end = offset + HEADER_BYTES + length;
      if (this.#buffer.length < end) break;
      frames.push({
        type: this.#buffer.readUInt8(offset),
        stream: this.#buffer.readUInt32LE(offset + 4),
        payload: this.#buffer.subarray(offset + HEADER_BYTES, end),
      });
      offset = end;
    }
    this.#buffer = this.#buffer.subarray(offset);
    return frames;
  }

  #findAcknowledgement(): boolean {
    const at = this.#buffer.indexOf(this.#acknowledgement);
    if (at >= 0) {
      this.#buffer = this.#buffer.subarray(at + this.#acknowledgement.length);
      this.#inStep = true;
      return true;
    }
    // Only this many bytes may still be the start of the acknowledgement.
    this.#buffer = this.#buffer.subarray(-this.#acknowledgement.length);
    return false;
  }
}
