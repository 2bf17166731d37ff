// http, guests: watches of files as Server-Sent Events. The agent sees the changes; a client that does not read holds the agent
// back, up to a time, and then the guest's kernel drops changes and says so.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { LIMITS } from '../../../config/limits.ts';
import { VolantError } from '../../../lib/errors.ts';
import { StreamRequest } from '../../../lib/net/stream-request.ts';
import type { WatchEnd } from '../../../schema/file.ts';
import type { Caller } from '../../access/callers.ts';
import type { Exchange } from '../../exchange/exchange.ts';
import { errorReply } from '../../exchange/reply.ts';
import { REQUEST_ID_HEADER } from '../../exchange/request-id.ts';
import { EventAnswer, type EventAnswerLimits } from '../../streams/event-answer.ts';
import { refusalIn } from './answer-rules.ts';
import { WatchLines, type WatchWord } from './watch-lines.ts';

export interface FileWatchLimits extends EventAnswerLimits {
  readonly watchesMax: number;
  readonly beginMs: number;
}

const WATCH_LIMITS: FileWatchLimits = {
  watchesMax: LIMITS.fileWatchesMax,
  beginMs: LIMITS.fileWatchBeginMs,
  stallMs: LIMITS.fileWatchStallMs,
  heartbeatMs: LIMITS.fileWatchHeartbeatMs,
};

export class FileWatches {
  readonly #limits: FileWatchLimits;
  readonly #open = new Map<FileWatch, Caller>();

  constructor(limits: Partial<FileWatchLimits> = {}) {
    this.#limits = { ...WATCH_LIMITS, ...limits };
  }

  /**
   * Answers with the stream. `target` is the request to the agent, and `connect` opens a stream to it. Throws OVERLOADED, and as
   * `connect` does.
   */
  open(exchange: Exchange, caller: Caller, target: string, connect: () => Duplex): void {
    const { watchesMax } = this.#limits;
    if (this.#open.size >= watchesMax) {
      const why = `At most ${watchesMax} watches of files may be open`;
      throw new VolantError('OVERLOADED', why, { retryAfterSeconds: 5 });
    }
    const watch = new FileWatch(exchange, connect(), target, this.#limits, () =>
      this.#open.delete(watch),
    );
    this.#open.set(watch, caller);
  }

  /** Ends every watch. */
  drain(): void {
    for (const watch of [...this.#open.keys()]) watch.end('daemon_stops');
  }

  /** Ends the watches of one caller whose key is no longer valid. */
  endOf(caller: Caller): void {
    for (const [watch, whose] of [...this.#open]) if (whose === caller) watch.end('key_revoked');
  }
}

class FileWatch {
  readonly #exchange: Exchange;
  readonly #answer: EventAnswer;
  readonly #onOver: () => void;
  readonly #request: StreamRequest;
  readonly #lines = new WatchLines(LIMITS.fileWatchLineBytesMax);
  /** For an agent that does not answer. */
  readonly #timer: NodeJS.Timeout;
  #incoming: IncomingMessage | null = null;
  #isOver = false;

  /** Never throws, and owns the stream. */
  constructor(
    exchange: Exchange,
    stream: Duplex,
    target: string,
    limits: FileWatchLimits,
    onOver: () => void,
  ) {
    this.#exchange = exchange;
    this.#onOver = onOver;
    this.#answer = new EventAnswer(exchange, limits, {
      pause: () => this.#incoming?.pause(),
      resume: () => this.#incoming?.resume(),
      stalled: () => this.end('too_slow'),
    });
    const headers = { Host: 'agent', [REQUEST_ID_HEADER]: exchange.requestId };
    this.#request = new StreamRequest(
      stream,
      { path: target, headers },
      {
        onAnswer: (incoming) => this.#begin(incoming),
        onBroken: (error) => this.#lost(error.message),
      },
    );
    this.#timer = setTimeout(() => this.#lost('it took too long'), limits.beginMs);
    exchange.onAborted(() => this.#over());
    this.#request.finish();
  }

  end(reason: WatchEnd): void {
    if (this.#isOver) return;
    if (this.#incoming !== null) {
      this.#finish({ type: 'end', reason });
      return;
    }
    const isStop = reason === 'daemon_stops';
    this.#refuse(new VolantError(isStop ? 'SHUTTING_DOWN' : 'UNAUTHORIZED'));
  }

  #begin(incoming: IncomingMessage): void {
    if (this.#isOver) return;
    if (incoming.statusCode !== 200) {
      void refusalIn(incoming).then((error) => this.#refuse(error));
      return;
    }
    clearTimeout(this.#timer);
    this.#incoming = incoming;
    this.#answer.begin();
    incoming.on('data', (chunk: Buffer) => this.#take(chunk));
    incoming.on('end', () => this.#lost('it ended the watch'));
  }

  #take(chunk: Buffer): void {
    if (this.#isOver) return;
    const words = this.#lines.push(chunk);
    if (words === null) {
      this.#lost('its answer is no watch');
      return;
    }
    const last = words.find(({ type }) => type === 'end');
    const before = last === undefined ? words : words.slice(0, words.indexOf(last));
    if (before.length > 0) this.#answer.write(before.map(eventOf).join(''));
    if (last !== undefined) this.#finish(last);
  }

  /** Before the answer has begun, a failure is an error answer. After that it is the end of the guest for the client. */
  #lost(why: string): void {
    if (this.#isOver) return;
    if (this.#incoming !== null) this.#finish({ type: 'end', reason: 'guest_gone' });
    else this.#refuse(new VolantError('AGENT_UNREACHABLE', `The agent did not watch: ${why}`));
  }

  #refuse(error: VolantError): void {
    if (this.#isOver) return;
    this.#over();
    this.#exchange.reply(errorReply(error));
  }

  #finish(word: WatchWord): void {
    this.#answer.end(eventOf(word));
    this.#over();
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#answer.abandon();
    this.#request.end();
    this.#onOver();
  }
}

function eventOf({ type, ...data }: WatchWord): string {
  return `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
}
