// http, guests: some output of an exec as one bounded answer, and input in one request, for clients that hold no stream open.

import { LIMITS } from '../../../config/limits.ts';
import type { ExecApi, ExecReader, ExecSession } from '../../../engine/engine-api.ts';
import { VolantError } from '../../../lib/errors.ts';
import type { Exec, ExecInput } from '../../../schema/exec.ts';

/** Input after which the guest is asked how much was taken. */
const PART_BYTES = 16 * 1024;

export interface OutputQuestion {
  readonly stream: 'stdout' | 'stderr';
  readonly offset: number;
  readonly bytesMax: number;
  /** How long to wait for the first byte, or the end. */
  readonly waitMs: number;
  /** When it aborts, the output so far is the answer. */
  readonly signal?: AbortSignal;
}

export interface OutputPart {
  /** Offset of the first byte: larger than the one that was asked for if that is no longer kept. */
  readonly offset: number;
  readonly bytes: Buffer;
  /** The program has ended, and nothing follows. */
  readonly isEnd: boolean;
  /** undefined if a bound was reached before all there is was read. */
  readonly exec: Exec | undefined;
}

/** Rejects as ExecApi.attach() does, and with the error that its reader gets. */
export async function readOutput(
  execs: ExecApi,
  vmName: string,
  id: string,
  question: OutputQuestion,
): Promise<OutputPart> {
  const first = await readOnce(execs, vmName, id, question, 'now');
  if (first.bytes.length > 0 || first.isEnd || question.waitMs === 0) return first;
  return readOnce(execs, vmName, id, question, 'end');
}

/**
 * Resolves when the program has ended, after `waitMs`, or when the signal aborts, with what the exec is then. Rejects as
 * readOutput() does.
 */
export async function waitForEnd(
  execs: ExecApi,
  vmName: string,
  id: string,
  waitMs: number,
  signal: AbortSignal,
): Promise<Exec> {
  const ended = await new Promise<Exec | null>((resolve, reject) => {
    const settle = (act: () => void) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', give);
      session.end();
      act();
    };
    const give = () => settle(() => resolve(null));
    let timer: NodeJS.Timeout | undefined;
    const session = execs.attach(
      vmName,
      id,
      { until: 'end' },
      {
        onOutput: () => undefined,
        onTaken: () => undefined,
        onEnd: (exec) => settle(() => resolve(exec)),
        onBroken: (error) => settle(() => reject(error)),
      },
    );
    // Only now: attach() may throw, and a timer of its own would be left.
    timer = setTimeout(give, waitMs);
    signal.addEventListener('abort', give);
    if (signal.aborted) give();
  });
  return ended ?? execs.get(vmName, id);
}

function readOnce(
  execs: ExecApi,
  vmName: string,
  id: string,
  { stream, offset, bytesMax, waitMs, signal }: OutputQuestion,
  until: 'now' | 'end',
): Promise<OutputPart> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let from = offset;
    let length = 0;
    let timer: NodeJS.Timeout | undefined;
    const settle = (act: () => void) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', give);
      session.end();
      act();
    };
    const answer = (exec?: Exec) => {
      const bytes = Buffer.concat(chunks).subarray(0, bytesMax);
      const isWhole = length <= bytesMax;
      const isEnd = isWhole && exec !== undefined && exec.state !== 'running';
      settle(() => resolve({ offset: from, bytes, isEnd, exec }));
    };
    const give = () => answer();
    const reader: ExecReader = {
      onOutput: (_stream, at, bytes) => {
        // Bytes between two parts were lost: what comes after them is the answer to another request.
        if (length > 0 && at !== from + length) return answer();
        if (length === 0) from = at;
        chunks.push(bytes);
        length += bytes.length;
        if (length > bytesMax) return answer();
        // The first bytes have come; more of them may be on their way.
        if (until === 'end' && length === bytes.length) setImmediate(give);
      },
      onTaken: () => undefined,
      onEnd: answer,
      onBroken: (error) => settle(() => reject(error)),
    };
    const session = execs.attach(vmName, id, { [stream]: offset, until }, reader);
    if (until === 'end') timer = setTimeout(give, waitMs);
    signal?.addEventListener('abort', give);
    if (signal?.aborted) give();
  });
}

/**
 * Writes to standard input, and ends it if `closes`. Resolves when it has taken everything, takes no more, or after
 * LIMITS.execInputTimeoutMs. Rejects with EXEC_ENDED if the program has ended before it took anything, and as
 * ExecApi.attach() does.
 */
export function writeInput(
  execs: ExecApi,
  vmName: string,
  id: string,
  bytes: Uint8Array,
  closes: boolean,
): Promise<ExecInput> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      clearTimeout(timer);
      session.end();
      act();
    };
    const fail = (error: VolantError) => settle(() => reject(error));
    let last: ExecInput = { stdin_open: true, stdin_bytes: 0 };
    let timer: NodeJS.Timeout | undefined;
    let sentBytes = 0;
    let isSent = false;
    // One question at a time: an answer that says how much was taken belongs to all that was sent before it.
    const send = () => {
      if (bytes.length > 0) session.input(bytes.subarray(sentBytes, sentBytes + PART_BYTES));
      sentBytes = Math.min(sentBytes + PART_BYTES, bytes.length);
      isSent = sentBytes === bytes.length;
      if (isSent && closes) session.closeInput();
      session.askTaken();
    };
    const session: ExecSession = execs.attach(
      vmName,
      id,
      { until: 'end' },
      {
        onOutput: () => undefined,
        onTaken: (taken, isOpen) => {
          last = { stdin_open: isOpen, stdin_bytes: taken };
          if (isSent || !isOpen) settle(() => resolve(last));
          else send();
        },
        onEnd: ({ state }) => {
          if (last.stdin_bytes > 0) {
            settle(() => resolve({ ...last, stdin_open: false }));
            return;
          }
          const why = `Exec ${id} of VM ${vmName} has ${state === 'lost' ? 'been lost' : 'ended'}`;
          fail(new VolantError('EXEC_ENDED', why));
        },
        onBroken: fail,
      },
    );
    timer = setTimeout(() => settle(() => resolve(last)), LIMITS.execInputTimeoutMs);
    send();
  });
}
