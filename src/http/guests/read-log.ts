// http, guests: some lines of a workload's log as one bounded answer, for clients that hold no stream open.

import type { Duplex } from 'node:stream';
import { LIMITS } from '../../config/limits.ts';
import { VolantError } from '../../lib/errors.ts';
import { type LogLine, type LogReader, LogStream } from '../streams/log-stream.ts';

export interface LogQuestion {
  /** Only lines after the one with this number; the newest lines if undefined. */
  readonly after: number | undefined;
  readonly linesMax: number;
  /** How long to wait for the first line; 0 takes what is stored. */
  readonly waitMs: number;
  /** When it aborts, the lines so far are the answer. */
  readonly signal: AbortSignal;
}

export interface LogPart {
  readonly lines: readonly LogLine[];
  /** true: a bound was reached, and there may be more lines. */
  readonly isCut: boolean;
}

/** Ends the stream in any case. Rejects with AGENT_UNREACHABLE if the agent does not answer with a log. */
export function readLog(stream: Duplex, question: LogQuestion): Promise<LogPart> {
  const { after, linesMax, waitMs, signal } = question;
  return new Promise((resolve, reject) => {
    const lines: LogLine[] = [];
    let room = LIMITS.mcpAnswerBytesMax;
    let quiet: NodeJS.Timeout | undefined;
    const end = (settle: () => void) => {
      clearTimeout(quiet);
      clearTimeout(deadline);
      signal.removeEventListener('abort', give);
      log.stop();
      settle();
    };
    const give = () => end(() => resolve({ lines, isCut: false }));
    const giveAfter = (pauseMs: number) => {
      clearTimeout(quiet);
      quiet = setTimeout(give, pauseMs);
    };
    const deadline = setTimeout(give, waitMs + LIMITS.mcpLogTimeoutMs);
    const reader: LogReader = {
      onOpen: () => giveAfter(Math.max(waitMs, LIMITS.mcpLogQuietMs)),
      onLine: (line) => {
        if (lines.length >= linesMax || room < 0) return;
        lines.push(line);
        room -= Buffer.byteLength(line.line);
        if (lines.length < linesMax && room >= 0) giveAfter(LIMITS.mcpLogQuietMs);
        else end(() => resolve({ lines, isCut: true }));
      },
      onEnd: (_code, reason) => {
        if (lines.length > 0) give();
        else end(() => reject(new VolantError('AGENT_UNREACHABLE', `No log: ${reason}`)));
      },
    };
    const bounds = after === undefined ? { tail: linesMax } : { after };
    const log = new LogStream(reader, stream, bounds);
    signal.addEventListener('abort', give);
    if (signal.aborted) give();
  });
}
