// hypervisor: the requests of the daemon to a guest's agent, as HTTP on streams of the agent's channel.

import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { LIMITS } from '../config/limits.ts';
import type {
  AgentConnection,
  PostedResult,
  ResultStatus,
  WorkloadHealth,
} from '../engine/ports/hypervisor-ports.ts';
import type { GuestPort } from '../engine/ports/network-ports.ts';
import { VolantError } from '../lib/errors.ts';
import type { Logger } from '../lib/log/log.ts';
import { collect } from '../lib/net/collect.ts';
import { StreamRequest } from '../lib/net/stream-request.ts';
import { AgentChannel } from './agent-channel.ts';

/** Deadline of one request to the agent itself. Requests to a workload have limits of their own. */
const REQUEST_TIMEOUT_MS = 10_000;

/** An answer of the agent is a few lines of JSON, or a result with a line before it. */
const ANSWER_BYTES_MAX = 64 * 1024 + 64;

/** Names of states have up to 8 characters. */
const STATE_CHARACTERS_MAX = 32;

/** A reason of the agent has up to 224 bytes. */
const SENTENCE_CHARACTERS_MAX = 256;

/** Maximum number of last lines that the agent sends. */
const LAST_LINES_MAX = 5;

/** What the agent gets as the outcome of a result. */
const STATUS_OF: Readonly<Record<ResultStatus, number>> = { kept: 204, refused: 400, failed: 503 };

interface AgentRequest {
  readonly method: string;
  readonly path: string;
  readonly body?: string;
}

/** The status and the body of an answer. */
export interface AgentAnswer {
  readonly status: number;
  readonly body: string;
  /** The body as it came. */
  readonly bytes: Buffer;
}

/** Creates the connection and starts to connect. The socket need not exist yet. */
export function createAgentConnection(
  socketPath: string,
  log: Logger,
  tunnelsMax: number = LIMITS.agentTunnelsMax,
): AgentConnection {
  const channel = new AgentChannel(socketPath, log);
  // The sum is below the channel's maximum, so that clients never keep the daemon itself from asking.
  const openRequest = budgetOf(channel, LIMITS.agentStreamsMax, 'requests to the agent of a VM');
  const openExec = budgetOf(channel, LIMITS.execStreamsMax, 'connections to execs of a VM');
  const openWatch = budgetOf(channel, LIMITS.fileWatchesPerVmMax, 'watches of the files of a VM');
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
    onChange: (listener) => channel.onChange(listener),
    sendManifest: async (manifestJson, signal) => {
      const request = { method: 'PUT', path: '/agent/manifest', body: manifestJson };
      const { status, body } = await askUntilAnswered(channel, request, signal);
      // 409: an earlier daemon has sent it already.
      if (status !== 204 && status !== 409)
        throw new Error(`the agent answered ${status}: ${body}`);
    },
    sendMetadata: async (documentJson, signal) => {
      const request = { method: 'PUT', path: '/agent/metadata', body: documentJson };
      const { status, body } = await askUntilAnswered(channel, request, signal);
      if (status !== 204) throw new Error(`the agent answered ${status}: ${body}`);
    },
    postedResult: async (signal) => {
      const request = { method: 'GET', path: '/agent/result' };
      const { status, bytes, body } = await ask(channel, request, signal);
      if (status === 204) return null;
      if (status !== 200) throw new Error(`the agent answered ${status}: ${body}`);
      return resultIn(bytes);
    },
    settleResult: async (number, result, signal) => {
      const path = `/agent/result?number=${number}&status=${STATUS_OF[result]}`;
      const { status, body } = await ask(channel, { method: 'POST', path }, signal);
      if (status !== 204) throw new Error(`the agent answered ${status}: ${body}`);
    },
    onResult: (listener) => channel.onResult(listener),
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
    openExec,
    openWatch,
    connect: async (target, signal) => connectTo(openTunnel(), target, signal),
    close: () => channel.close(),
  };
}

/** Opens streams of one kind, up to a maximum of their own. Throws OVERLOADED. */
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

/** Turns a stream into a connection to a port of the guest. The stream is destroyed when that fails. */
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
          // The stream now belongs to the caller: the signal only covers its opening.
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
 * Reads the workload's health from an answer to GET /healthz. The guest's root may have replaced the agent, so
 * members with a wrong type count as unknown. Throws an Error with a sentence for a body that is not a JSON object.
 */
export function workloadIn(body: string): WorkloadHealth {
  const { workload } = membersIn(body);
  const facts = isObject(workload) ? workload : {};
  const { state, healthy, check, last_lines: lines } = facts;
  return {
    state: typeof state === 'string' ? state.slice(0, STATE_CHARACTERS_MAX) : 'unknown',
    healthy: typeof healthy === 'boolean' ? healthy : null,
    check: typeof check === 'string' ? check.slice(0, STATE_CHARACTERS_MAX) : '',
    checkFailure: sentenceIn(facts['check_failure']),
    restarts: countIn(facts['restarts']) ?? 0,
    lastExit: sentenceIn(facts['last_exit']),
    exitCode: countIn(facts['exit_code']),
    exitSignal: countIn(facts['exit_signal']),
    lastLines: Array.isArray(lines) ? lines.slice(-LAST_LINES_MAX).map(sentenceIn) : [],
    reason: sentenceIn(facts['reason']),
  };
}

/**
 * Reads a result: a line with its number and its kind, then its bytes. Throws an Error with a sentence for an answer
 * without such a line.
 */
export function resultIn(answer: Buffer): PostedResult {
  const end = answer.indexOf('\n');
  const line = answer.subarray(0, Math.max(0, end)).toString('latin1');
  const [, number = '', kind] = /^(\d{1,15}) (json|text)$/.exec(line) ?? [];
  if (kind === undefined) throw new Error('the answer of the agent is no result');
  return { number: Number(number), isJson: kind === 'json', bytes: answer.subarray(end + 1) };
}

function countIn(value: unknown): number | null {
  return Number.isSafeInteger(value) ? Math.max(0, Number(value)) : null;
}

/** Text from a guest, bounded and without control characters. */
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
  throw new Error('the answer of the agent is not a JSON object');
}

type Members = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Repeats the request after a loss of the channel, so it is for idempotent requests only. */
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

/**
 * Sends one request on a stream of its own. Rejects when the channel is lost, the deadline passes or the signal
 * aborts.
 */
export async function ask(
  channel: AgentChannel,
  request: AgentRequest,
  signal: AbortSignal,
): Promise<AgentAnswer> {
  const stream = channel.open();
  try {
    return await exchange(stream, request, signal);
  } finally {
    // node:http only half-closes the stream; its end would depend on the guest.
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
          bytesOf(answer).then(
            (bytes) => resolve({ status: answer.statusCode ?? 0, body: bytes.toString(), bytes }),
            reject,
          );
        },
        onBroken: reject,
      },
    );
    outgoing.finish(body);
  });
}

async function bytesOf(answer: IncomingMessage): Promise<Buffer> {
  const { bytes, isWhole } = await collect(answer, ANSWER_BYTES_MAX);
  if (!isWhole) throw new Error('the answer of the agent is too long');
  return bytes;
}
