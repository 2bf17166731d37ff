// lib, log: the daemon's log: JSON lines by pino. State changes and errors are info and above, requests are debug.
// Writing them is in log-writer.ts.

import { closeSync, constants, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { pino } from 'pino';
import { LogWriter, type LogWriterOptions } from './log-writer.ts';

const SUBSYSTEM = 'volantd';

/** What the parts of the daemon need of a logger; pino's own type satisfies it. */
export interface Logger {
  debug(bindings: object, message: string): void;
  info(bindings: object, message: string): void;
  warn(bindings: object, message: string): void;
  error(bindings: object, message: string): void;
  child(bindings: object): Logger;
}

export interface LogOptions extends Omit<LogWriterOptions, 'lostLine'> {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
}

/** The daemon's log with the operations of its lifecycle. */
export interface OpenLog {
  readonly log: Logger;
  /** Writes the waiting lines, within the timeout. Never rejects. */
  flush(timeoutMs: number): Promise<void>;
  /** Like flush, then closes the file. */
  close(timeoutMs: number): Promise<void>;
  /** Reopens the file by its name, after it was moved. */
  reopen(): void;
}

/** Throws the system's error for a file that cannot be used. Later errors would have no one to report them to. */
function tryFile(file: string): void {
  mkdirSync(dirname(file), { recursive: true });
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
  closeSync(openSync(file, flags, 0o600));
}

/**
 * Opens the log. Throws the system's error for a file that cannot be used. Later problems with the file are not
 * errors of the daemon.
 */
export function createLog(options: LogOptions): OpenLog {
  if (options.file !== null) tryFile(options.file);
  const writer = new LogWriter({ ...options, lostLine });
  const log = pino(
    {
      level: options.level,
      base: { subsystem: SUBSYSTEM },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line) => writer.write(line) },
  );
  return {
    log,
    flush: (timeoutMs) => writer.flush(timeoutMs),
    close: (timeoutMs) => writer.close(timeoutMs),
    reopen: () => writer.reopen(),
  };
}

/** In the form of pino's lines. */
function lostLine(lines: number, why: string): string {
  const time = new Date().toISOString();
  const msg = 'lines of the log were lost';
  return `${JSON.stringify({ level: 'warn', time, subsystem: SUBSYSTEM, lines, why, msg })}\n`;
}
