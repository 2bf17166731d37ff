// test helpers: the guest's end of an agent's channel, played by the test: it takes what the daemon sends
// as frames and sends frames, or anything else, back.

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import {
  encodeFrame,
  encodeWindow,
  FRAME,
  type Frame,
  HEADER_BYTES,
  NONCE_BYTES,
  PAYLOAD_BYTES_MAX,
} from '../../src/hypervisor/agent-frames.ts';

const MAGIC = 'VOLANT01';

/** One connection of the daemon's. */
export class HostSide {
  readonly socket: Socket;
  readonly frames: Frame[] = [];
  /** Zero bytes that came before the first hello. */
  padding = 0;
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => this.#take(chunk));
  }

  send(type: number, stream: number, payload?: Uint8Array | string): void {
    const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
    this.socket.write(encodeFrame(type, stream, bytes));
  }

  /** Any amount, in frames. */
  sendData(stream: number, bytes: Buffer): void {
    for (let at = 0; at < bytes.length; at += PAYLOAD_BYTES_MAX) {
      this.send(FRAME.data, stream, bytes.subarray(at, at + PAYLOAD_BYTES_MAX));
    }
  }

  sendWindow(stream: number, bytes: number): void {
    this.socket.write(encodeWindow(stream, bytes));
  }

  /** Waits for a hello and answers it. Returns its nonce. */
  async greet(): Promise<Buffer> {
    const { payload } = await this.frame(({ type }) => type === FRAME.hello);
    const nonce = payload.subarray(MAGIC.length, MAGIC.length + NONCE_BYTES);
    this.send(FRAME.helloAck, 0, nonce);
    return nonce;
  }

  /** The first frame that is as wanted, now or later. */
  async frame(wanted: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const found = this.frames.find(wanted);
      if (found !== undefined) return found;
      if (this.socket.closed) throw new Error('the daemon has left');
      await pause(2);
    }
  }

  /** All data of a stream so far. */
  dataOf(stream: number): Buffer {
    return Buffer.concat(
      this.frames
        .filter((frame) => frame.type === FRAME.data && frame.stream === stream)
        .map(({ payload }) => payload),
    );
  }

  /** Credit that the daemon has given on a stream so far. */
  creditOf(stream: number): number {
    return this.frames
      .filter((frame) => frame.type === FRAME.window && frame.stream === stream)
      .reduce((sum, { payload }) => sum + payload.readUInt32LE(0), 0);
  }

  #take(chunk: Buffer): void {
    let bytes = Buffer.concat([this.#rest, chunk]);
    for (;;) {
      if (bytes[0] === FRAME.nop) {
        bytes = bytes.subarray(1);
        if (this.frames.length === 0) this.padding += 1;
        continue;
      }
      if (bytes.length < HEADER_BYTES) break;
      const end = HEADER_BYTES + bytes.readUInt16LE(2);
      if (bytes.length < end) break;
      const payload = bytes.subarray(HEADER_BYTES, end);
      this.frames.push({ type: bytes.readUInt8(0), stream: bytes.readUInt32LE(4), payload });
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes;
  }
}

export interface FakeAgent {
  readonly path: string;
  /** The next connection of the daemon's. */
  accept(): Promise<HostSide>;
}

export async function startFakeAgent(t: TestContext): Promise<FakeAgent> {
  const directory = mkdtempSync(join(tmpdir(), 'volant-agent-'));
  const path = join(directory, 'agent.sock');
  const waiting: HostSide[] = [];
  const server = createServer((socket) => {
    waiting.push(new HostSide(socket));
    t.after(() => socket.destroy());
  }).listen(path);
  await once(server, 'listening');
  t.after(() => {
    server.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const accept = async () => {
    for (;;) {
      const side = waiting.shift();
      if (side !== undefined) return side;
      await once(server, 'connection');
    }
  };
  return { path, accept };
}
