// http: the lines of a workload from its agent to one reader. Each reader has a stream of its own: it
// begins with what the agent has kept.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { LIMITS } from '../config.ts';
import { StreamRequest } from '../lib/stream-request.ts';
import { CLOSE } from './socket-viewer.ts';
import { type SseLine, SseLines } from './sse-lines.ts';

export interface LogStreamOptions {
  /** Only so many of the lines that the agent has kept; all without it. */
  readonly tail?: number | undefined;
  /** Only what came after the line of this number. */
  readonly after?: number | undefined;
}

export interface LogLine {
  readonly stream: string;
  readonly line: string;
  readonly timestamp: string;
  /** Counts the lines of one boot of the guest; null where its agent does not say. */
  readonly number: number | null;
}

/** Somebody who reads a log. */
export interface LogReader {
  /** The agent answers; the lines follow. */
  onOpen?(): void;
  onLine(line: LogLine): void;
  /** The last call, with a close code of WebSockets. */
  onEnd(code: number, reason: string): void;
}

export class LogStream {
  readonly #reader: LogReader;
  readonly #request: StreamRequest;
  #timer: NodeJS.Timeout | undefined;

  constructor(reader: LogReader, stream: Duplex, options: LogStreamOptions) {
    this.#reader = reader;
    const path = `/v1/logs/stream${queryOf(options)}`;
    const headers = { Host: 'agent', Accept: 'text/event-stream' };
    this.#request = new StreamRequest(
      stream,
      { path, headers },
      {
        onAnswer: (incoming) => this.#read(incoming),
        onBroken: () => this.#lost('the agent does not answer'),
      },
    );
    this.#request.finish();
  }

  /** The VM has ended, and its log with it. */
  vmEnded(): void {
    this.#reader.onEnd(CLOSE.normal, 'the VM has ended');
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#request.end();
  }

  #read(incoming: IncomingMessage): void {
    const lines = new SseLines(LIMITS.logLineBytesMax);
    incoming.on('end', () => this.#lost('the agent ended the stream'));
    if (incoming.statusCode !== 200) {
      this.#reader.onEnd(CLOSE.tryLater, `the agent answered ${incoming.statusCode}`);
      return;
    }
    this.#reader.onOpen?.();
    incoming.on('data', (chunk: Buffer) => {
      const found = lines.push(chunk)?.map(lineOf);
      if (found === undefined || found.includes(undefined)) {
        this.#reader.onEnd(CLOSE.failed, 'the agent sends what is no log');
        return;
      }
      for (const line of found) if (line !== undefined) this.#reader.onLine(line);
    });
  }

  /** An agent goes before its VM is seen to have ended; then the end has another name. */
  #lost(why: string): void {
    this.#timer ??= setTimeout(() => {
      this.#reader.onEnd(CLOSE.tryLater, why);
    }, LIMITS.logEndGraceMs).unref();
  }
}

/** undefined when it is not a line of a log. */
function lineOf({ data, id: number }: SseLine): LogLine | undefined {
  try {
    const { stream, line, timestamp } = JSON.parse(data);
    return typeof line === 'string' ? { stream, line, timestamp, number } : undefined;
  } catch {
    return undefined;
  }
}

function queryOf({ tail, after }: LogStreamOptions): string {
  if (after !== undefined) return `?after=${after}`;
  return tail === undefined ? '' : `?tail=${tail}`;
}
