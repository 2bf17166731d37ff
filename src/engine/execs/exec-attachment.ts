// engine, execs: one connection to an exec: its output as it comes, and its input. execs.ts decides what a loss means.

import type { Duplex } from 'node:stream';
import { LIMITS } from '../../config/limits.ts';
import {
  type ExecFrame,
  ExecFrameParser,
  encodeAsk,
  encodeClose,
  encodeInput,
  encodeSignal,
  encodeSize,
} from '../../lib/formats/exec-frames.ts';
import { StreamRequest } from '../../lib/net/stream-request.ts';
import type { ExecAttachOptions, ExecSession } from '../engine-api.ts';

export interface AttachmentEvents {
  onFrame(frame: ExecFrame): void;
  /** The last call, unless the owner has ended it. `status` is that of an answer that refused; 0 if the connection broke. */
  onLost(status: number, cause: Error): void;
}

export class ExecAttachment implements ExecSession {
  readonly #events: AttachmentEvents;
  readonly #request: StreamRequest;
  readonly #timer: NodeJS.Timeout;
  #stream: Duplex | null = null;
  /** Frames from before the agent has answered. */
  #early: Buffer[] = [];
  #isPaused = false;
  #isOver = false;

  /** Owns the stream. */
  constructor(stream: Duplex, id: string, options: ExecAttachOptions, events: AttachmentEvents) {
    this.#events = events;
    const headers = { Host: 'agent', Connection: 'Upgrade', Upgrade: 'tcp' };
    this.#request = new StreamRequest(
      stream,
      { path: `/agent/exec/${id}/attach${queryOf(options)}`, headers },
      {
        onAnswer: ({ statusCode = 0 }) =>
          this.#lost(statusCode, new Error(`the agent answered ${statusCode}`)),
        onBroken: (error) => this.#lost(0, error),
        onSwitched: (_answer, switched, first) => this.#begin(switched, first),
      },
    );
    this.#timer = setTimeout(
      () => this.#lost(0, new Error('the agent did not answer in time')),
      LIMITS.execRequestTimeoutMs,
    );
    this.#request.finish();
  }

  input(bytes: Uint8Array): void {
    this.#send(encodeInput(bytes));
  }

  closeInput(): void {
    this.#send(encodeClose());
  }

  askTaken(): void {
    this.#send(encodeAsk());
  }

  resize(rows: number, columns: number): void {
    this.#send(encodeSize(rows, columns));
  }

  signal(number: number): void {
    this.#send(encodeSignal(number));
  }

  pause(): void {
    this.#isPaused = true;
    this.#stream?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#stream?.resume();
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#early = [];
    this.#request.end();
    this.#stream?.destroy();
  }

  #begin(stream: Duplex, first: Buffer): void {
    clearTimeout(this.#timer);
    if (this.#isOver) {
      stream.destroy();
      return;
    }
    this.#stream = stream;
    const parser = new ExecFrameParser();
    stream.on('error', (error) => this.#lost(0, error));
    stream.on('close', () => this.#lost(0, new Error('the connection was closed')));
    stream.on('data', (chunk: Buffer) => this.#take(parser, chunk));
    if (this.#isPaused) stream.pause();
    for (const frame of this.#early.splice(0)) stream.write(frame);
    if (first.length > 0) this.#take(parser, first);
  }

  #take(parser: ExecFrameParser, chunk: Buffer): void {
    if (this.#isOver) return;
    const frames = parser.push(chunk);
    if (frames === null) {
      this.#lost(0, new Error('the agent does not speak our protocol'));
      return;
    }
    for (const frame of frames) {
      if (this.#isOver) return;
      this.#events.onFrame(frame);
    }
  }

  #send(frame: Buffer): void {
    if (this.#isOver) return;
    // The caller bounds what it has sent and `onTaken` has not confirmed.
    if (this.#stream === null) this.#early.push(frame);
    else this.#stream.write(frame);
  }

  #lost(status: number, cause: Error): void {
    if (this.#isOver) return;
    this.end();
    this.#events.onLost(status, cause);
  }
}

function queryOf({ stdout, stderr, until }: ExecAttachOptions): string {
  const parts = [
    ...(stdout === undefined ? [] : [`stdout=${stdout}`]),
    ...(stderr === undefined ? [] : [`stderr=${stderr}`]),
    ...(until === 'now' ? [] : [until === 'end' ? 'follow' : 'late']),
  ];
  return parts.length === 0 ? '' : `?${parts.join('&')}`;
}
