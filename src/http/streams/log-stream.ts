// http, streams: the lines of a workload's log, from its agent to one reader. Each reader has a stream of its own, which
// begins with the lines that the agent has stored.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { LIMITS } from '../../config/limits.ts';
import { StreamRequest } from '../../lib/net/stream-request.ts';
import { CLOSE } from './socket-viewer.ts';
import { type SseLine, SseLines } from './sse-lines.ts';

export interface LogStreamOptions {
  /** Only this many of the stored lines; all of them if absent. */
  readonly tail?: number | undefined;
  /** Only lines after the one with this number. */
  readonly after?: number | undefined;
}

export interface LogLine {
  readonly stream: string;
  readonly line: string;
  readonly timestamp: string;
  /** Counts the lines of one boot of the guest; null if its agent does not number them. */
  readonly number: number | null;
}

/** A reader of a log. */
export interface LogReader {
  /** The agent has answered; lines follow. */
  onOpen?(): void;
  onLine(line: LogLine): void;
  /** The last call, with a WebSocket close code. */
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

  /** The VM has ended, and so has its log. */
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
        this.#reader.onEnd(CLOSE.failed, 'the answer of the agent is not a log');
        return;
      }
      for (const line of found) if (line !== undefined) this.#reader.onLine(line);
    });
  }

  /** The agent's connection ends before the end of its VM is observed, so this waits a short time for vmEnded(). */
  #lost(why: string): void {
    this.#timer ??= setTimeout(() => {
      this.#reader.onEnd(CLOSE.tryLater, why);
    }, LIMITS.logEndGraceMs).unref();
  }
}

/** undefined if the data is not a line of a log. */
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
