// http, guests: the output of execs as Server-Sent Events. A client that does not read holds its program back, up to a time.

import { LIMITS } from '../../../config/limits.ts';
import type { ExecApi, ExecSession } from '../../../engine/engine-api.ts';
import { VolantError } from '../../../lib/errors.ts';
import type { Exec } from '../../../schema/exec.ts';
import type { Caller } from '../../access/callers.ts';
import type { Exchange } from '../../exchange/exchange.ts';
import { errorReply } from '../../exchange/reply.ts';
import { EventAnswer } from '../../streams/event-answer.ts';

export interface ExecStreamQuestion {
  readonly vmName: string;
  readonly id: string;
  readonly stdout: number;
  readonly stderr: number;
  readonly encoding: 'text' | 'base64';
}

type Output = 'stdout' | 'stderr';

const STREAM_LIMITS = {
  heartbeatMs: LIMITS.execStreamHeartbeatMs,
  stallMs: LIMITS.execStreamStallMs,
};

export class ExecStreams {
  readonly #most: number;
  readonly #open = new Map<ExecStream, Caller>();

  constructor(most: number = LIMITS.execEventStreamsMax) {
    this.#most = most;
  }

  /** Answers with the stream. Throws OVERLOADED, and as ExecApi.attach() does. */
  open(exchange: Exchange, caller: Caller, execs: ExecApi, question: ExecStreamQuestion): void {
    if (this.#open.size >= this.#most) {
      const why = `At most ${this.#most} event streams of execs may be open`;
      throw new VolantError('OVERLOADED', why, { retryAfterSeconds: 5 });
    }
    const stream = new ExecStream(exchange, execs, question, () => this.#open.delete(stream));
    this.#open.set(stream, caller);
  }

  /** Ends every stream. Clients connect again with the id of their last event. */
  drain(): void {
    for (const stream of [...this.#open.keys()]) stream.end();
  }

  /** Ends the streams of one caller whose key is no longer valid. */
  endOf(caller: Caller): void {
    for (const [stream, whose] of [...this.#open]) if (whose === caller) stream.end();
  }
}

class ExecStream {
  readonly #exchange: Exchange;
  readonly #question: ExecStreamQuestion;
  readonly #session: ExecSession;
  readonly #answer: EventAnswer;
  readonly #onOver: () => void;
  readonly #next: Record<Output, number>;
  /** Bytes of a character that is not complete, in text. */
  readonly #rest: Record<Output, Buffer> = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  #isOver = false;

  constructor(
    exchange: Exchange,
    execs: ExecApi,
    question: ExecStreamQuestion,
    onOver: () => void,
  ) {
    this.#exchange = exchange;
    this.#question = question;
    this.#onOver = onOver;
    const { vmName, id, stdout, stderr } = question;
    this.#next = { stdout, stderr };
    this.#answer = new EventAnswer(exchange, STREAM_LIMITS, {
      pause: () => this.#session.pause(),
      resume: () => this.#session.resume(),
      stalled: () => this.#answer.disconnect(),
    });
    this.#session = execs.attach(
      vmName,
      id,
      { stdout, stderr, until: 'end' },
      {
        onOutput: (stream, offset, bytes) => this.#output(stream, offset, bytes),
        onTaken: () => this.#answer.begin(),
        onEnd: (exec) => this.#finish(exec),
        onBroken: (error) => this.#broken(error),
      },
    );
    // The first answer says that the exec is there; until then a failure is an error answer.
    this.#session.askTaken();
    exchange.onAborted(() => this.#over());
  }

  end(): void {
    if (this.#isOver) return;
    this.#answer.begin();
    this.#close('');
  }

  #output(stream: Output, offset: number, bytes: Buffer): void {
    this.#answer.begin();
    const isText = this.#question.encoding === 'text';
    const isNext = offset === this.#next[stream] && this.#rest[stream].length > 0;
    const all = isNext ? Buffer.concat([this.#rest[stream], bytes]) : bytes;
    const from = isNext ? offset - this.#rest[stream].length : offset;
    const whole = isText ? all.subarray(0, wholeLength(all)) : all;
    this.#rest[stream] = Buffer.from(all.subarray(whole.length));
    this.#next[stream] = offset + bytes.length;
    if (whole.length === 0) return;
    this.#event(stream, { offset: from, data: whole.toString(isText ? 'utf8' : 'base64') });
  }

  #event(name: string, value: object): void {
    const of = (stream: Output) => this.#next[stream] - this.#rest[stream].length;
    const id = `${of('stdout')}-${of('stderr')}`;
    this.#answer.write(`event: ${name}\nid: ${id}\ndata: ${JSON.stringify(value)}\n\n`);
  }

  #finish(exec: Exec): void {
    if (this.#isOver) return;
    this.#answer.begin();
    for (const stream of ['stdout', 'stderr'] as const) {
      const rest = this.#rest[stream];
      if (rest.length === 0) continue;
      this.#rest[stream] = Buffer.alloc(0);
      this.#event(stream, { offset: this.#next[stream] - rest.length, data: rest.toString() });
    }
    const id = `${this.#next.stdout}-${this.#next.stderr}`;
    this.#close(`event: end\nid: ${id}\ndata: ${JSON.stringify(exec)}\n\n`);
  }

  /** Before the answer has begun, an error is the answer. After that the client connects again. */
  #broken(error: VolantError): void {
    if (this.#isOver) return;
    if (!this.#answer.hasBegun) {
      this.#over();
      this.#exchange.reply(errorReply(error));
      return;
    }
    const body = { error: error.message, code: error.code };
    this.#close(`event: error\ndata: ${JSON.stringify(body)}\n\n`);
  }

  #close(text: string): void {
    this.#answer.end(text);
    this.#over();
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#answer.abandon();
    this.#session.end();
    this.#onOver();
  }
}

/** The length without an incomplete UTF-8 character at the end. */
function wholeLength(bytes: Buffer): number {
  for (let tail = 1; tail <= 3 && tail <= bytes.length; tail += 1) {
    const byte = bytes[bytes.length - tail] ?? 0;
    const wanted = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    if (byte >= 0xc0) return wanted > tail ? bytes.length - tail : bytes.length;
    if (byte < 0x80) return bytes.length;
  }
  return bytes.length;
}
