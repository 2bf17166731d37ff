// http, guests: one request to a guest's agent whose answer is read as a whole, bounded in time and size.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { VolantError } from '../../lib/errors.ts';
import { type Collected, collect } from '../../lib/net/collect.ts';
import { StreamRequest } from '../../lib/net/stream-request.ts';

export interface GuestQuestion {
  readonly method: string;
  readonly path: string;
  /** In addition to the headers of every request. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON; undefined for a request without a body. */
  readonly body?: unknown;
  /** Sent unchanged, instead of `body`. */
  readonly bytes?: Uint8Array;
  readonly timeoutMs: number;
  readonly answerBytesMax: number;
  /** true: once the head has arrived, a body that is truncated at a bound is an acceptable answer. */
  readonly acceptsPartial?: boolean;
  /** Aborted when the caller no longer waits. */
  readonly signal?: AbortSignal;
}

export interface GuestAnswer {
  readonly status: number;
  /** Empty if the answer has no Content-Type. */
  readonly contentType: string;
  /** Names and values in their order, octets as Latin-1 characters. */
  readonly rawHeaders: readonly string[];
  readonly bytes: Buffer;
  readonly isWhole: boolean;
  readonly text: string;
}

/** Rejects with AGENT_UNREACHABLE if there is no answer in time, or only a part of one and `acceptsPartial` is not set. */
export async function askGuest(
  agent: { open(): Duplex },
  question: GuestQuestion,
): Promise<GuestAnswer> {
  const stream = agent.open();
  try {
    return await exchange(stream, question);
  } catch (cause) {
    const timedOut = cause instanceof Error && cause.name === 'TimeoutError';
    const why = timedOut ? `in ${question.timeoutMs} ms` : 'correctly';
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
    // After the answer has begun, bodyOf() reports how it ended.
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
          bodyOf(incoming, question, inTime).then(
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

async function bodyOf(
  incoming: IncomingMessage,
  { answerBytesMax, acceptsPartial = false }: GuestQuestion,
  inTime: AbortSignal,
): Promise<Collected> {
  const body = await collect(incoming, answerBytesMax, () => acceptsPartial && inTime.aborted);
  if (!body.isWhole && !acceptsPartial) throw new Error('the answer is too long');
  return body;
}
