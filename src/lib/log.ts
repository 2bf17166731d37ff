// lib: the daemon's log: JSON lines by pino. Where they go, and what may happen there, is log-writer.ts's business. State
// changes and errors are info and above, requests are debug.

import { closeSync, constants, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { pino } from 'pino';
import { LogWriter, type LogWriterOptions } from './log-writer.ts';

const SUBSYSTEM = 'volantd';

/** What the rooms need of a logger; pino's own type satisfies it. */
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

/** The daemon's log, and what its life needs of it. */
export interface OpenLog {
  readonly log: Logger;
  /** Gets the last lines out before the process ends, as far as that can be done in this time. Never rejects. */
  flush(timeoutMs: number): Promise<void>;
  /** The same, and gives the file back: for a process that goes on without it. */
  close(timeoutMs: number): Promise<void>;
  /** Somebody has moved the file: it is opened by its name again. */
  reopen(): void;
}

/** Throws what the system says about a file that cannot be used: later it would be told to nobody. */
function tryFile(file: string): void {
  mkdirSync(dirname(file), { recursive: true });
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
  closeSync(openSync(file, flags, 0o600));
}

/** Throws what the system says about a file that cannot be used. Whatever happens to it later harms nobody. */
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

/** In the form of the others. */
function lostLine(lines: number, why: string): string {
  const time = new Date().toISOString();
  const msg = 'lines of the log were lost';
  return `${JSON.stringify({ level: 'warn', time, subsystem: SUBSYSTEM, lines, why, msg })}\n`;
}
