// hypervisor: the channel to a guest's agent: a unix socket that the hypervisor joins to a
// virtio-serial port, and many streams on it. It connects by itself, and again after it was lost.

import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { encodeGreeting, encodeHello, FRAME, FrameParser, NONCE_BYTES } from './agent-frames.ts';
import { AgentStream, type StreamOwner } from './agent-stream.ts';
import { connectToSocket } from './unix-socket.ts';

const RECONNECT_MIN_MS = 200;
const RECONNECT_MAX_MS = 5_000;

/** A hello is repeated so often until the agent has answered: it may not be up yet. */
const HELLO_EVERY_MS = 1_000;

/** Maximum number of streams that the agent serves at once. */
const STREAMS_MAX = 64;

/**
 * What a guest has not read stays in the kernel, and beyond its buffers here: above this nothing is added but what ends
 * streams, which is a few bytes for each. A guest that is paused for a day costs no more than one that is paused for a second.
 */
const UNREAD_BYTES_MAX = 64 * 1024;

export class AgentChannel implements StreamOwner {
  readonly #path: string;
  readonly #log: Logger;
  readonly #streams = new Map<number, AgentStream>();
  readonly #waiting = new Set<() => void>();
  /** Told of the next answer to a hello: true, or false when the connection is lost before. */
  readonly #pulses = new Set<(answered: boolean) => void>();
  #tellNews: () => void = () => undefined;
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

  /** true while the agent answers. */
  get connected(): boolean {
    return this.#inStep;
  }

  /** true from the agent's first answer on. */
  get wasConnected(): boolean {
    return this.#wasInStep;
  }

  /** Resolves when the agent answers, at once when it does. Rejects with the signal's reason. */
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

  /** Resolves at the agent's next answer, however late. Rejects when it is not connected, or is so no more before. */
  async pulse(): Promise<void> {
    const answered = new Promise<boolean>((resolve) => {
      if (!this.#inStep) resolve(false);
      else this.#pulses.add(resolve);
    });
    // The agent answers a hello that it knows, and keeps its streams.
    if (this.#inStep) this.send(encodeHello(this.#nonce));
    if (!(await answered)) throw new VolantError('AGENT_UNREACHABLE');
  }

  /** Calls back when the agent says that its workload has changed, and whenever it was connected to. */
  onNews(listener: () => void): void {
    this.#tellNews = listener;
  }

  /**
   * A new stream to the agent's HTTP server. AGENT_UNREACHABLE while it does not answer or does not read, OVERLOADED
   * when it has as many as it serves. An error of the stream that nobody listens to is logged, and ends the stream alone.
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

  /** What is held here because the guest has not read it, beside what the kernel holds. */
  get unreadBytes(): number {
    return this.#socket?.writableLength ?? 0;
  }

  /** true: data has to wait, until `goOn` of its stream is called. */
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
    socket.on('drain', () => this.#goOn());
    // Why it was lost does not matter: 'close' follows and it is tried again.
    socket.on('error', () => undefined);
    socket.on('close', () => this.#lost());
  }

  #repeatHello(socket: Socket, nonce: Buffer): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#inStep) return;
      // One that was not read yet says the same.
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
      this.#tellNews();
    }
    for (const { type, stream, payload } of frames) {
      if (type === FRAME.helloAck) this.#endPulses(true);
      else if (type === FRAME.news) this.#tellNews();
      else this.#streams.get(stream)?.receive(type, payload);
    }
  }

  #endPulses(answered: boolean): void {
    for (const told of this.#pulses) told(answered);
    this.#pulses.clear();
  }

  /** Who was served last is served first: a stream that always has something to send leaves room for others. */
  #goOn(): void {
    for (const [number, stream] of [...this.#streams]) {
      if (this.full) return;
      if (!stream.goOn()) continue;
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
