// http: one question to a guest's agent whose answer is needed whole: bounded in time and size.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { VolantError } from '../lib/errors.ts';
import { StreamRequest } from '../lib/stream-request.ts';

export interface GuestQuestion {
  readonly method: string;
  readonly path: string;
  /** Beside those that every question has. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON; undefined for a request without a body. */
  readonly body?: unknown;
  /** Sent as they are, instead of a body of JSON. */
  readonly bytes?: Uint8Array;
  readonly timeoutMs: number;
  readonly answerBytesMax: number;
  /** Once its head was there, what came of an answer until a bound was reached is enough. */
  readonly takesPart?: boolean;
  /** Whoever asks has gone. */
  readonly signal?: AbortSignal;
}

export interface GuestAnswer {
  readonly status: number;
  /** Empty when it was not said. */
  readonly contentType: string;
  /** Names and values in their order, octets as Latin-1 characters. */
  readonly rawHeaders: readonly string[];
  readonly bytes: Buffer;
  readonly isWhole: boolean;
  readonly text: string;
}

/** Rejects with AGENT_UNREACHABLE when there is no answer in time, a whole one unless a part is taken, too. */
export async function askGuest(
  agent: { open(): Duplex },
  question: GuestQuestion,
): Promise<GuestAnswer> {
  const stream = agent.open();
  try {
    return await exchange(stream, question);
  } catch (cause) {
    const timedOut = cause instanceof Error && cause.name === 'TimeoutError';
    const why = timedOut ? `in ${question.timeoutMs} ms` : 'as it should';
    throw new VolantError('AGENT_UNREACHABLE', `The agent did not answer ${why}`, { cause });
  } finally {
    stream.destroy();
  }
}

function exchange(stream: Duplex, question: GuestQuestion): Promise<GuestAnswer> {
  const { method, path, timeoutMs } = question;
  const inTime = AbortSignal.timeout(timeoutMs);
  const signals = question.signal === undefined ? [inTime] : [inTime, question.signal];
  const signal = AbortSignal.any(signals);
  return new Promise((resolve, reject) => {
    const { bytes, headers } = contentOf(question);
    let answer: IncomingMessage | undefined;
    // An answer that has begun tells by itself how it was ended.
    const giveUp = () =>
      answer === undefined ? reject(signal.reason) : answer.destroy(signal.reason);
    signal.addEventListener('abort', giveUp, { once: true });
    if (signal.aborted) giveUp();
    const request = new StreamRequest(
      stream,
      { method, path, headers },
      {
        onAnswer: (incoming) => {
          answer = incoming;
          collect(incoming, question, inTime).then(
            (body) => resolve({ ...factsOf(incoming), ...body, text: body.bytes.toString() }),
            reject,
          );
        },
        onBroken: (error) => {
          if (answer === undefined) reject(error);
        },
      },
    );
    request.finish(bytes);
  });
}

function factsOf({ statusCode: status = 0, headers, rawHeaders }: IncomingMessage) {
  return { status, contentType: headers['content-type'] ?? '', rawHeaders };
}

function contentOf({ body, bytes: given, headers }: GuestQuestion) {
  const bytes = body === undefined ? given : Buffer.from(JSON.stringify(body));
  return {
    bytes,
    headers: {
      Host: 'agent',
      Accept: '*/*',
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...headers,
      ...(bytes === undefined ? {} : { 'Content-Length': bytes.length }),
    },
  };
}

async function collect(
  incoming: IncomingMessage,
  { answerBytesMax, takesPart = false }: GuestQuestion,
  inTime: AbortSignal,
): Promise<Pick<GuestAnswer, 'bytes' | 'isWhole'>> {
  const chunks: Buffer[] = [];
  let room = answerBytesMax;
  let isWhole = true;
  try {
    for await (const chunk of incoming as AsyncIterable<Buffer>) {
      chunks.push(chunk.subarray(0, room));
      isWhole = chunk.length <= room;
      if (!isWhole) break;
      room -= chunk.length;
    }
  } catch (error) {
    if (!takesPart || !inTime.aborted) throw error;
    isWhole = false;
  }
  if (!isWhole && !takesPart) throw new Error('the answer is too long');
  return { bytes: Buffer.concat(chunks), isWhole };
}
