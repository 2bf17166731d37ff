// http: some lines of a workload's log as one answer, for who does not hold a stream open.

import type { Duplex } from 'node:stream';
import { LIMITS } from '../config.ts';
import { VolantError } from '../lib/errors.ts';
import { type LogLine, type LogReader, LogStream } from './log-stream.ts';

export interface LogQuestion {
  /** Go on after the line of this number; the newest lines where none is named. */
  readonly after: number | undefined;
  readonly linesMax: number;
  /** How long the first line may be waited for; 0 takes what is there. */
  readonly waitMs: number;
  /** What was read until then is the answer. */
  readonly signal: AbortSignal;
}

export interface LogPart {
  readonly lines: readonly LogLine[];
  /** A bound was reached: there may be more. */
  readonly isCut: boolean;
}

/** Ends the stream in any case. Rejects with AGENT_UNREACHABLE when the agent does not answer with a log. */
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
