// hypervisor: the channel to a guest's agent: a unix socket that the hypervisor connects to a virtio-serial port. It
// carries many streams. It connects by itself, and reconnects after a loss. The bytes of frames are in
// agent-frames.ts.

import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log/log.ts';
import {
  encodeGreeting,
  encodeHello,
  FRAME,
  type Frame,
  FrameParser,
  NONCE_BYTES,
} from './agent-frames.ts';
import { AgentStream, type StreamOwner } from './agent-stream.ts';
import { connectToSocket } from './unix-socket.ts';

const RECONNECT_MIN_MS = 200;
const RECONNECT_MAX_MS = 5_000;

/** The hello is repeated at this interval until the agent answers: the guest may still boot. */
const HELLO_EVERY_MS = 1_000;

/** Maximum number of streams that the agent serves at once. */
const STREAMS_MAX = 88;

/**
 * Data that a guest does not read fills the kernel's buffers, then this one. Above this bound only frames that end
 * streams are added, a few bytes each. So a guest that is paused for a day costs no more than one that is paused for
 * a second.
 */
const UNREAD_BYTES_MAX = 64 * 1024;

/** Connects from its construction until close(). */
export class AgentChannel implements StreamOwner {
  readonly #path: string;
  readonly #log: Logger;
  readonly #streams = new Map<number, AgentStream>();
  readonly #waiting = new Set<() => void>();
  /** Called with true at the agent's next answer to a hello, with false when the connection is lost before. */
  readonly #pulses = new Set<(answered: boolean) => void>();
  #onChange: () => void = () => undefined;
  #onResult: () => void = () => undefined;
  #nonce: Buffer = Buffer.alloc(0);
  #socket: Socket | null = null;
  #timer: NodeJS.Timeout | undefined;
  #reconnectMs = RECONNECT_MIN_MS;
  #nextStream = 1;
  #inStep = false;
  #wasInStep = false;
  #closed = false;

  constructor(path: string, log: Logger) {
    this.#path = path;
    this.#log = log;
    this.#connect();
  }

  /** Whether the agent answers. */
  get connected(): boolean {
    return this.#inStep;
  }

  /** Whether the agent has ever answered. */
  get wasConnected(): boolean {
    return this.#wasInStep;
  }

  /** Resolves when the agent answers; immediately if it does. Rejects with the signal's reason. */
  async ready(signal: AbortSignal): Promise<void> {
    while (!this.#inStep) {
      if (this.#closed) throw new Error('the channel to the agent is closed');
      signal.throwIfAborted();
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waiting.delete(wake);
          signal.removeEventListener('abort', wake);
          resolve();
        };
        this.#waiting.add(wake);
        signal.addEventListener('abort', wake, { once: true });
      });
    }
  }

  /**
   * Resolves at the agent's next answer, with no deadline of its own. Rejects with AGENT_UNREACHABLE when the channel
   * is not connected or is lost before.
   */
  async pulse(): Promise<void> {
    const answered = new Promise<boolean>((resolve) => {
      if (!this.#inStep) resolve(false);
      else this.#pulses.add(resolve);
    });
    // The agent answers a repeated hello and keeps its streams.
    if (this.#inStep) this.send(encodeHello(this.#nonce));
    if (!(await answered)) throw new VolantError('AGENT_UNREACHABLE');
  }

  /** Calls back when the agent says that its workload has changed, and whenever it was connected to. */
  onChange(listener: () => void): void {
    this.#onChange = listener;
  }

  /** Calls back when the agent says that its workload has posted a result, and whenever it was connected to. */
  onResult(listener: () => void): void {
    this.#onResult = listener;
  }

  /**
   * Opens a stream to the agent's HTTP server. Throws AGENT_UNREACHABLE while the agent does not answer or does not
   * read, OVERLOADED when the maximum number of streams is open. An error of a stream without a listener is logged
   * and ends only that stream.
   */
  open(): Duplex {
    if (!this.#inStep) {
      throw new VolantError('AGENT_UNREACHABLE', undefined, { retryAfterSeconds: 1 });
    }
    if (this.full) {
      const why = 'The agent does not read what it is sent';
      throw new VolantError('AGENT_UNREACHABLE', why, { retryAfterSeconds: 1 });
    }
    if (this.#streams.size >= STREAMS_MAX) {
      const why = `The agent of a VM serves at most ${STREAMS_MAX} streams`;
      throw new VolantError('OVERLOADED', why, { retryAfterSeconds: 1 });
    }
    const number = this.#nextStream++;
    const stream = new AgentStream(this, number);
    stream.on('error', (error) => {
      if (stream.listenerCount('error') > 1) return;
      this.#log.warn(
        { path: this.#path, stream: number, err: error },
        'a stream to an agent broke',
      );
    });
    this.#streams.set(number, stream);
    return stream;
  }

  /** Bytes that the guest has not read, beside those in the kernel's buffers. */
  get unreadBytes(): number {
    return this.#socket?.writableLength ?? 0;
  }

  /** Whether data must wait until `continueSending` of its stream is called. */
  get full(): boolean {
    return this.unreadBytes > UNREAD_BYTES_MAX;
  }

  close(): void {
    this.#closed = true;
    this.#inStep = false;
    clearTimeout(this.#timer);
    this.#socket?.destroy();
    this.#wakeAll();
    this.#endPulses(false);
  }

  send(frame: Buffer): void {
    this.#socket?.write(frame);
  }

  forget(stream: number): void {
    this.#streams.delete(stream);
  }

  #connect(): void {
    const nonce = randomBytes(NONCE_BYTES);
    const parser = new FrameParser(nonce);
    this.#nonce = nonce;
    const socket = connectToSocket(this.#path);
    this.#socket = socket;
    socket.on('connect', () => {
      socket.write(encodeGreeting(nonce));
      this.#repeatHello(socket, nonce);
    });
    socket.on('data', (chunk: Buffer) => this.#take(socket, parser, chunk));
    socket.on('drain', () => this.#continueSending());
    // The reason does not matter: 'close' follows, and the channel reconnects.
    socket.on('error', () => undefined);
    socket.on('close', () => this.#lost());
  }

  #repeatHello(socket: Socket, nonce: Buffer): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#inStep) return;
      // An earlier hello that was not read yet says the same.
      if (socket.writableLength === 0) socket.write(encodeHello(nonce));
      this.#repeatHello(socket, nonce);
    }, HELLO_EVERY_MS).unref();
  }

  #take(socket: Socket, parser: FrameParser, chunk: Buffer): void {
    const frames = parser.push(chunk);
    if (frames === null) {
      this.#log.warn({ path: this.#path }, 'the agent does not speak our protocol');
      socket.destroy();
      return;
    }
    if (parser.inStep && !this.#inStep) {
      this.#inStep = true;
      this.#wasInStep = true;
      this.#reconnectMs = RECONNECT_MIN_MS;
      this.#wakeAll();
      this.#onChange();
      this.#onResult();
    }
    for (const { type, stream, payload } of joined(frames)) {
      if (type === FRAME.helloAck) this.#endPulses(true);
      else if (type === FRAME.changed) this.#onChange();
      else if (type === FRAME.result) this.#onResult();
      else this.#streams.get(stream)?.receive(type, payload);
    }
  }

  #endPulses(answered: boolean): void {
    for (const listener of this.#pulses) listener(answered);
    this.#pulses.clear();
  }

  /** Continues the streams. One that sent data moves to the end, so that a busy stream does not starve the others. */
  #continueSending(): void {
    for (const [number, stream] of [...this.#streams]) {
      if (this.full) return;
      if (!stream.continueSending()) continue;
      this.#streams.delete(number);
      this.#streams.set(number, stream);
    }
  }

  #lost(): void {
    this.#inStep = false;
    this.#socket = null;
    clearTimeout(this.#timer);
    this.#endPulses(false);
    for (const stream of [...this.#streams.values()]) {
      stream.destroy(new Error('the channel to the agent was lost'));
    }
    if (this.#closed) return;
    this.#timer = setTimeout(() => this.#connect(), this.#reconnectMs).unref();
    this.#reconnectMs = Math.min(this.#reconnectMs * 2, RECONNECT_MAX_MS);
  }

  #wakeAll(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}

/** Data of one stream that came together as one frame: each has a cost all the way to the client. */
function joined(frames: readonly Frame[]): readonly Frame[] {
  const all: Frame[] = [];
  for (let at = 0; at < frames.length; ) {
    const frame = frames[at];
    if (frame === undefined) break;
    let end = at + 1;
    const isMore = (next: Frame | undefined) =>
      frame.type === FRAME.data && next?.type === FRAME.data && next.stream === frame.stream;
    while (isMore(frames[end])) end += 1;
    const payloads = frames.slice(at, end).map(({ payload }) => payload);
    all.push(payloads.length === 1 ? frame : { ...frame, payload: Buffer.concat(payloads) });
    at = end;
  }
  return all;
}
