// fuzz, api: a client that sends any bytes and reads what returns: nothing of it is put right on the way. What is sent
// is the business of requests.ts.

import { connect, type Socket } from 'node:net';
import { parseAnswer, type RawAnswer } from './answer.ts';

export type Ending =
  | { readonly kind: 'answer'; readonly answer: RawAnswer }
  /** An answer whose end was not waited for: its head, and what has come of it. */
  | { readonly kind: 'stream'; readonly answer: RawAnswer }
  /** The server has closed the connection without an answer. */
  | { readonly kind: 'closed' }
  | { readonly kind: 'late' }
  | { readonly kind: 'malformed'; readonly why: string };

export interface Expected {
  /** An answer to HEAD has no body. */
  readonly isHead: boolean;
  /** It may have no end. */
  readonly isStream: boolean;
  readonly timeoutMs: number;
}

/** A stream is looked at for so long. */
const STREAM_MS = 30;

export class Connection {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);
  #isClosed = false;
  #onChange: () => void = () => undefined;

  constructor(port: number) {
    this.#socket = connect({ host: '127.0.0.1', port, noDelay: true });
    this.#socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#onChange();
    });
    // Which error it is does not matter: a close follows, and that is what is asked for.
    this.#socket.on('error', () => undefined);
    this.#socket.once('close', () => {
      this.#isClosed = true;
      this.#onChange();
    });
  }

  /** It can be asked again: it is open, and nothing has come that was not asked for. */
  get isClean(): boolean {
    return !this.#isClosed && this.#received.length === 0;
  }

  /** What has come and was not read. */
  get leftOver(): string {
    return this.#received.toString('latin1');
  }

  send(bytes: Buffer): void {
    if (!this.#isClosed) this.#socket.write(bytes);
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Reads the next answer. */
  async read({ isHead, isStream, timeoutMs }: Expected): Promise<Ending> {
    const deadlineMs = performance.now() + timeoutMs;
    for (;;) {
      const parsed = parseAnswer(this.#received, isHead, this.#isClosed);
      if (parsed.kind === 'malformed') return parsed;
      if (parsed.kind === 'whole') {
        const { answer, length } = parsed;
        this.#received = this.#received.subarray(length);
        if (answer.status >= 200 || answer.status === 101) return { kind: 'answer', answer };
        continue;
      }
      if (this.#isClosed) return { kind: 'closed' };
      const looksOn = isStream && parsed.kind === 'stream';
      const waitMs = looksOn ? STREAM_MS : deadlineMs - performance.now();
      if (waitMs <= 0) return { kind: 'late' };
      const isNew = await this.#moreBytes(waitMs);
      if (!isNew && looksOn) return parsed;
    }
  }

  /** false: nothing has come in that time. */
  async #moreBytes(timeoutMs: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const isNew = await new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), timeoutMs);
      this.#onChange = () => resolve(true);
    });
    clearTimeout(timer);
    this.#onChange = () => undefined;
    return isNew;
  }
}
