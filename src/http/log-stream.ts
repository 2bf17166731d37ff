// http: the lines of a workload from its agent to one viewer. Each viewer has a stream of its own: it
// begins with what the agent has kept.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { LIMITS } from '../config.ts';
import { StreamRequest } from '../lib/stream-request.ts';
import { CLOSE, type SocketViewer } from './socket-viewer.ts';
import { SseLines } from './sse-lines.ts';

export interface LogStreamOptions {
  readonly vmName: string;
  /** Only so many of the lines that the agent has kept; all without it. */
  readonly tail: number | undefined;
}

export class LogStream {
  readonly #viewer: SocketViewer;
  readonly #vmName: string;
  readonly #request: StreamRequest;
  #timer: NodeJS.Timeout | undefined;

  constructor(viewer: SocketViewer, stream: Duplex, { vmName, tail }: LogStreamOptions) {
    this.#viewer = viewer;
    this.#vmName = vmName;
    const path = `/v1/logs/stream${tail === undefined ? '' : `?tail=${tail}`}`;
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
    this.#viewer.close(CLOSE.normal, 'the VM has ended');
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#request.end();
  }

  #read(incoming: IncomingMessage): void {
    const lines = new SseLines(LIMITS.logLineBytesMax);
    incoming.on('end', () => this.#lost('the agent ended the stream'));
    if (incoming.statusCode !== 200) {
      this.#viewer.close(CLOSE.tryLater, `the agent answered ${incoming.statusCode}`);
      return;
    }
    incoming.on('data', (chunk: Buffer) => {
      const found = lines.push(chunk)?.map((data) => frameOf(this.#vmName, data));
      if (found === undefined || found.includes(undefined)) {
        this.#viewer.close(CLOSE.failed, 'the agent sends what is no log');
        return;
      }
      for (const frame of found) if (frame !== undefined) this.#viewer.send(frame);
    });
  }

  /** An agent goes before its VM is seen to have ended; then the end has another name. */
  #lost(why: string): void {
    this.#timer ??= setTimeout(() => {
      this.#viewer.close(CLOSE.tryLater, why);
    }, LIMITS.logEndGraceMs).unref();
  }
}

/** undefined when it is not a line of a log. */
function frameOf(name: string, data: string): string | undefined {
  try {
    const { stream, line, timestamp } = JSON.parse(data);
    if (typeof line !== 'string') return undefined;
    return JSON.stringify({ name, stream, line, timestamp });
  } catch {
    return undefined;
  }
}
