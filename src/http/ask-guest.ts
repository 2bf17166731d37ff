// http: one question to a guest's agent whose answer is needed whole: bounded in time and size.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { VolantError } from '../lib/errors.ts';
import { StreamRequest } from '../lib/stream-request.ts';

export interface GuestQuestion {
  readonly method: string;
  readonly path: string;
  /** Sent as JSON; undefined for a request without a body. */
  readonly body?: unknown;
  readonly timeoutMs: number;
  readonly answerBytesMax: number;
}

export interface GuestAnswer {
  readonly status: number;
  /** Empty when it was not said. */
  readonly contentType: string;
  readonly text: string;
}

/** Rejects with AGENT_UNREACHABLE when there is no whole answer in time. */
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
  const { method, path, body, timeoutMs, answerBytesMax } = question;
  const text = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    const headers = {
      Host: 'agent',
      Accept: '*/*',
      ...(text === undefined
        ? {}
        : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }),
    };
    const request = new StreamRequest(
      stream,
      { method, path, headers },
      {
        onAnswer: (incoming) => {
          const status = incoming.statusCode ?? 0;
          const contentType = incoming.headers['content-type'] ?? '';
          collect(incoming, answerBytesMax).then(
            (collected) => resolve({ status, contentType, text: collected }),
            reject,
          );
        },
        onBroken: reject,
      },
    );
    request.finish(text);
  });
}

async function collect(incoming: IncomingMessage, bytesMax: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new Error('the answer is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
