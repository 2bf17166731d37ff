// engine, execs: requests to a guest's agent about execs, and its descriptions of them. The guest's root may have replaced the
// agent, so nothing of an answer is trusted.

import type { Duplex } from 'node:stream';
import { LIMITS } from '../../config/limits.ts';
import { VolantError } from '../../lib/errors.ts';
import { collect } from '../../lib/net/collect.ts';
import { StreamRequest } from '../../lib/net/stream-request.ts';
import { type Exec, signalName } from '../../schema/exec.ts';

/** Characters of a text from an agent that are shown. */
const TEXT_CHARACTERS_MAX = 512;

const ARGUMENTS_SHOWN_MAX = 256;

/** Where requests about execs go. */
export interface ExecPort {
  openExec(): Duplex;
}

export interface ExecQuestion {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly body?: object;
}

export interface ExecAnswer {
  readonly status: number;
  /** undefined if the body is not JSON. */
  readonly value: unknown;
}

/** One request to the agent. Rejects with AGENT_UNREACHABLE if there is no whole answer in time, and as openExec() does. */
export async function askAgent(
  agent: ExecPort,
  { method, path, body }: ExecQuestion,
): Promise<ExecAnswer> {
  const stream = agent.openExec();
  const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  try {
    return await new Promise<ExecAnswer>((resolve, reject) => {
      const timeout = AbortSignal.timeout(LIMITS.execRequestTimeoutMs);
      timeout.addEventListener('abort', () => reject(timeout.reason), { once: true });
      const headers = { Host: 'agent', 'Content-Length': bytes?.length ?? 0 };
      const request = new StreamRequest(
        stream,
        { method, path, headers },
        {
          onAnswer: (incoming) => {
            collect(incoming, LIMITS.execListBytesMax).then(
              ({ bytes: text }) =>
                resolve({ status: incoming.statusCode ?? 0, value: parsed(text.toString()) }),
              reject,
            );
          },
          onBroken: reject,
        },
      );
      request.finish(bytes);
    });
  } catch (cause) {
    if (cause instanceof VolantError) throw cause;
    const why = 'The agent did not answer a request about an exec';
    throw new VolantError('AGENT_UNREACHABLE', why, { cause });
  } finally {
    stream.destroy();
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

type Members = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textIn(value: unknown): string {
  if (typeof value !== 'string') return '';
  return value.slice(0, TEXT_CHARACTERS_MAX).replace(/[\p{Cs}]/gu, '\ufffd');
}

function countIn(value: unknown): number {
  return Number.isSafeInteger(value) ? Math.max(0, Number(value)) : 0;
}

/** As the agent writes times; null for anything else. */
function timeIn(value: unknown): string | null {
  const text = textIn(value);
  const isTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(text);
  return isTime && !Number.isNaN(Date.parse(text)) ? text : null;
}

/** The message of an agent's error. */
export function errorIn({ status, value }: ExecAnswer): string {
  return (isObject(value) && textIn(value['error'])) || `the agent answered ${status}`;
}

/** The exit status that a refused start would have had in a shell. */
export function refusedStatusIn({ value }: ExecAnswer): number {
  return isObject(value) ? countIn(value['exit_code']) : 0;
}

/** An exec as its agent describes it; null if this is no description. */
export function execOf(vm: string, value: unknown): Exec | null {
  if (!isObject(value) || !/^[a-z0-9]{1,32}$/.test(textIn(value['id']))) return null;
  const { argv, exit_code: code, exit_signal: signal } = value;
  const isOver = value['over'] === true;
  const start = { stdout: countIn(value['stdout_start']), stderr: countIn(value['stderr_start']) };
  return {
    id: textIn(value['id']),
    vm,
    argv: Array.isArray(argv) ? argv.slice(0, ARGUMENTS_SHOWN_MAX).map(textIn) : [],
    user: textIn(value['user']),
    tty: value['tty'] === true,
    state: isOver ? 'exited' : 'running',
    exit_code: isOver && Number.isSafeInteger(code) ? Number(code) : null,
    signal: isOver && Number.isSafeInteger(signal) ? signalName(Number(signal)) : null,
    timed_out: value['timed_out'] === true,
    started_at: timeIn(value['started_at']),
    ended_at: isOver ? timeIn(value['ended_at']) : null,
    stdin_open: !isOver && value['stdin_open'] === true,
    stdin_bytes: countIn(value['stdin_bytes']),
    stdout_bytes: countIn(value['stdout_end']),
    stdout_kept_from: start.stdout,
    stderr_bytes: countIn(value['stderr_end']),
    stderr_kept_from: start.stderr,
    truncated: start.stdout + start.stderr > 0,
  };
}
