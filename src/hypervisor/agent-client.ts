// hypervisor: what the daemon asks a guest's agent, in HTTP over streams of the agent's channel.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { LIMITS } from '../config.ts';
import type { GuestPort } from '../engine/network-ports.ts';
import type { AgentConnection, WorkloadHealth } from '../engine/ports.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { StreamRequest } from '../lib/stream-request.ts';
import { AgentChannel } from './agent-channel.ts';

/** One request to the agent itself; requests to a workload have bounds of their own. */
const REQUEST_TIMEOUT_MS = 10_000;

/** An answer of the agent's is a few lines of JSON. */
const ANSWER_BYTES_MAX = 64 * 1024;

/** The names of states that there are have up to 8. */
const STATE_CHARACTERS_MAX = 32;

/** A reason of the agent's has up to 224 bytes. */
const SENTENCE_CHARACTERS_MAX = 256;

/** The agent tells so many at most. */
const LAST_LINES_MAX = 5;

interface AgentRequest {
  readonly method: string;
  readonly path: string;
  readonly body?: string;
}

export interface AgentAnswer {
  readonly status: number;
  readonly body: string;
}

/** Begins to connect at once. The socket need not be there yet. */
export function createAgentConnection(
  socketPath: string,
  log: Logger,
  tunnelsMax: number = LIMITS.agentTunnelsMax,
): AgentConnection {
  const channel = new AgentChannel(socketPath, log);
  // Together fewer than there can be, so that clients never keep the daemon itself from asking.
  const openRequest = budgetOf(channel, LIMITS.agentStreamsMax, 'requests to the agent of a VM');
  const openTunnel = budgetOf(channel, tunnelsMax, 'connections through an agent');
  return {
    get connected() {
      return channel.connected;
    },
    get wasConnected() {
      return channel.wasConnected;
    },
    ready: (signal) => channel.ready(signal),
    pulse: () => channel.pulse(),
    onNews: (listener) => channel.onNews(listener),
    sendManifest: async (manifestJson, signal) => {
      const request = { method: 'PUT', path: '/agent/manifest', body: manifestJson };
      const { status, body } = await askUntilAnswered(channel, request, signal);
      // 409: an earlier daemon has sent it already.
      if (status !== 204 && status !== 409)
        throw new Error(`the agent answered ${status}: ${body}`);
    },
    health: async (signal) => {
      const { status, body } = await ask(channel, { method: 'GET', path: '/healthz' }, signal);
      if (status !== 200) throw new Error(`the agent answered ${status}: ${body}`);
      return workloadIn(body);
    },
    powerOff: async (timeoutMs, signal) => {
      const path = `/agent/poweroff?timeout_ms=${Math.ceil(timeoutMs)}`;
      const request = { method: 'POST', path };
      const { status, body } = await askUntilAnswered(channel, request, signal);
      if (status !== 202) throw new Error(`the agent answered ${status}: ${body}`);
    },
    open: openRequest,
    connect: async (target, signal) => connectTo(openTunnel(), target, signal),
    close: () => channel.close(),
  };
}

/** Opens streams of one kind, so many at once: what is open of another kind takes nothing from them. */
function budgetOf(channel: AgentChannel, streamsMax: number, what: string): () => Duplex {
  const open = new Set<Duplex>();
  return () => {
    for (const stream of open) if (stream.destroyed) open.delete(stream);
    if (open.size >= streamsMax) {
      const why = `At most ${streamsMax} ${what} may be under way`;
      throw new VolantError('OVERLOADED', why, { retryAfterSeconds: 1 });
    }
    const stream = channel.open();
    open.add(stream);
    return stream;
  };
}

/** A stream becomes the connection to a port of the guest. It is destroyed when that fails. */
function connectTo(
  stream: Duplex,
  { protocol, port }: GuestPort,
  signal: AbortSignal,
): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      signal.removeEventListener('abort', abort);
      request.end();
      reject(error);
    };
    const abort = () => fail(signal.reason as Error);
    const path = `/agent/connect?port=${port}&protocol=${protocol}`;
    const headers = { Host: 'agent', Connection: 'Upgrade', Upgrade: 'tcp' };
    const request = new StreamRequest(
      stream,
      { path, headers },
      {
        onAnswer: ({ statusCode }) => fail(new Error(`the agent answered ${statusCode}`)),
        onBroken: fail,
        onSwitched: (_answer, _stream, first) => {
          // From here on the stream is the caller's: the signal was for getting it.
          signal.removeEventListener('abort', abort);
          if (first.length > 0) stream.unshift(first);
          resolve(stream);
        },
      },
    );
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    request.finish();
  });
}

/**
 * What an answer to GET /healthz says about the workload. The guest's root may have replaced the agent: what is not as it
 * should be is not known. Throws an Error with a sentence for what is no JSON object.
 */
export function workloadIn(body: string): WorkloadHealth {
  const { workload } = membersIn(body);
  const told = isObject(workload) ? workload : {};
  const { state, healthy, check, last_lines: lines } = told;
  return {
    state: typeof state === 'string' ? state.slice(0, STATE_CHARACTERS_MAX) : 'unknown',
    healthy: typeof healthy === 'boolean' ? healthy : null,
    check: typeof check === 'string' ? check.slice(0, STATE_CHARACTERS_MAX) : '',
    checkFailure: sentenceIn(told['check_failure']),
    restarts: countIn(told['restarts']) ?? 0,
    lastExit: sentenceIn(told['last_exit']),
    exitCode: countIn(told['exit_code']),
    exitSignal: countIn(told['exit_signal']),
    lastLines: Array.isArray(lines) ? lines.slice(-LAST_LINES_MAX).map(sentenceIn) : [],
    reason: sentenceIn(told['reason']),
  };
}

function countIn(value: unknown): number | null {
  return Number.isSafeInteger(value) ? Math.max(0, Number(value)) : null;
}

/** Of a guest: bounded, and of one line. */
function sentenceIn(value: unknown): string {
  if (typeof value !== 'string') return '';
  return value.slice(0, SENTENCE_CHARACTERS_MAX).replace(/[\p{Cc}\p{Cs}]/gu, ' ');
}

function membersIn(body: string): Members {
  try {
    const value: unknown = JSON.parse(body);
    if (isObject(value)) return value;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new Error('the agent answered with what is no JSON object');
}

type Members = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Asks again after the channel was lost; both requests may be repeated without harm. */
async function askUntilAnswered(
  channel: AgentChannel,
  request: AgentRequest,
  signal: AbortSignal,
): Promise<AgentAnswer> {
  for (;;) {
    await channel.ready(signal);
    try {
      return await ask(channel, request, signal);
    } catch (error) {
      if (signal.aborted || channel.connected) throw error;
    }
  }
}

/** One request on a stream of its own. Rejects when the channel is lost, the time is over or the signal aborts. */
export async function ask(
  channel: AgentChannel,
  request: AgentRequest,
  signal: AbortSignal,
): Promise<AgentAnswer> {
  const stream = channel.open();
  try {
    return await exchange(stream, request, signal);
  } finally {
    // node:http ends a stream; whether it is over then would be for the guest to say.
    stream.destroy();
  }
}

function exchange(
  stream: Duplex,
  { method, path, body }: AgentRequest,
  signal: AbortSignal,
): Promise<AgentAnswer> {
  return new Promise((resolve, reject) => {
    const bound = AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]);
    if (bound.aborted) return reject(bound.reason);
    bound.addEventListener('abort', () => reject(bound.reason), { once: true });
    const headers = { Host: 'agent', 'Content-Length': Buffer.byteLength(body ?? '') };
    const outgoing = new StreamRequest(
      stream,
      { method, path, headers },
      {
        onAnswer: (answer) => {
          collect(answer).then(
            (text) => resolve({ status: answer.statusCode ?? 0, body: text }),
            reject,
          );
        },
        onBroken: reject,
      },
    );
    outgoing.finish(body);
  });
}

async function collect(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) throw new Error('the answer of the agent is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
