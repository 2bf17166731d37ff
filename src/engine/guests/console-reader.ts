// engine, guests: one connection to a guest's serial port and its viewers. It lasts as long as it has viewers and the
// guest runs.

import type { Duplex } from 'node:stream';
import { LIMITS } from '../../config/limits.ts';
import type { Logger } from '../../lib/log/log.ts';
import type { ConsoleSession, ConsoleViewer } from '../engine-api.ts';
import { TailBuffer } from './tail-buffer.ts';

export interface ConsoleReaderParts {
  readonly connect: () => Promise<Duplex>;
  /** The end of the console output so far. */
  readonly readPast: () => Promise<Uint8Array>;
  /** Called once, when no viewer can join any more. */
  readonly onOver: () => void;
  readonly log: Logger;
}

/** The log may be behind the port by one write of the hypervisor. */
const LAG_BYTES_MAX = 4096;

export class ConsoleReader {
  readonly #parts: ConsoleReaderParts;
  readonly #viewers = new Set<ConsoleViewer>();
  /** Viewers that have not got the past output yet; they get nothing else until then. */
  readonly #joining = new Set<ConsoleViewer>();
  #tail = new TailBuffer(LIMITS.consoleReplayBytesMax);
  #typedEarly: Uint8Array[] = [];
  #port: Duplex | null = null;
  #ready = false;
  #over = false;

  constructor(parts: ConsoleReaderParts) {
    this.#parts = parts;
    this.#open().catch((error: unknown) => {
      this.#parts.log.warn({ err: error }, 'the console could not be opened');
      this.#end('failed');
    });
  }

  get size(): number {
    return this.#viewers.size;
  }

  /** Adds a viewer. It is called only after this has returned. */
  join(viewer: ConsoleViewer): ConsoleSession {
    this.#viewers.add(viewer);
    this.#joining.add(viewer);
    if (this.#ready) queueMicrotask(() => this.#showPast());
    return {
      write: (bytes) => this.#viewers.has(viewer) && this.#write(bytes),
      leave: () => {
        this.#joining.delete(viewer);
        if (this.#viewers.delete(viewer) && this.#viewers.size === 0) this.close();
      },
    };
  }

  close(): void {
    this.#end('ended');
  }

  async #open(): Promise<void> {
    const port = await this.#parts.connect();
    this.#port = port;
    if (this.#over) {
      port.destroy();
      return;
    }
    port.on('data', (chunk: Buffer) => this.#take(chunk));
    // The error does not matter: 'close' follows.
    port.on('error', () => undefined);
    port.on('close', () => this.#end('ended'));
    for (const bytes of this.#typedEarly.splice(0)) port.write(bytes);
    // Read after the connection is made. Output in between is in the log, or comes from the port, or both.
    const past = await this.#parts.readPast();
    this.#tail = withPast(past, this.#tail);
    this.#ready = true;
    this.#showPast();
  }

  #take(chunk: Buffer): void {
    this.#tail.append(chunk);
    for (const viewer of this.#viewers) {
      if (!this.#joining.has(viewer)) viewer.onOutput(chunk);
    }
  }

  #showPast(): void {
    const past = this.#tail.contents();
    const joining = [...this.#joining];
    this.#joining.clear();
    for (const viewer of joining) {
      if (past.length > 0) viewer.onOutput(past);
      if (!this.#over) viewer.onCaughtUp?.();
    }
  }

  #write(bytes: Uint8Array): boolean {
    const waiting =
      this.#port?.writableLength ?? this.#typedEarly.reduce((sum, { length }) => sum + length, 0);
    if (waiting + bytes.length > LIMITS.consoleInputBytesMax) return false;
    if (this.#port === null) this.#typedEarly.push(bytes);
    else this.#port.write(bytes);
    return true;
  }

  #end(reason: 'ended' | 'failed'): void {
    if (this.#over) return;
    this.#over = true;
    this.#parts.onOver();
    this.#port?.destroy();
    // Viewers that have just joined get the output so far.
    this.#showPast();
    for (const viewer of this.#viewers) viewer.onEnd(reason);
    this.#viewers.clear();
  }
}

/** The log followed by the live output, without the bytes that are in both. */
function withPast(past: Uint8Array, live: TailBuffer): TailBuffer {
  if (live.overflowed) return live;
  const joined = new TailBuffer(LIMITS.consoleReplayBytesMax);
  const fresh = live.contents();
  joined.append(past);
  joined.append(fresh.subarray(overlap(Buffer.from(past), fresh)));
  return joined;
}

/** How many bytes at the beginning of `fresh` are also the end of `past`. */
function overlap(past: Buffer, fresh: Buffer): number {
  const least = Math.max(1, fresh.length - LAG_BYTES_MAX);
  for (let length = Math.min(past.length, fresh.length); length >= least; length -= 1) {
    if (past.subarray(-length).equals(fresh.subarray(0, length))) return length;
  }
  return 0;
}
