// lib: the daemon's log: JSON lines by pino, on standard output or in a file that is rotated by size.
// State changes and errors are info and above, requests are debug.

import { closeSync, mkdirSync, openSync, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { type DestinationStream, pino } from 'pino';

/** What the rooms need of a logger; pino's own type satisfies it. */
export interface Logger {
  debug(bindings: object, message: string): void;
  info(bindings: object, message: string): void;
  warn(bindings: object, message: string): void;
  error(bindings: object, message: string): void;
  child(bindings: object): Logger;
}

export interface LogOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  /** null means standard output, which is never rotated. */
  readonly file: string | null;
  /** The file is renamed to `<file>.1` when it is larger; one older file is kept. */
  readonly fileBytesMax: number;
}

/** Throws what the system says about a file that cannot be written to: pino would tell it later, to nobody. */
function tryFile(file: string): void {
  mkdirSync(dirname(file), { recursive: true });
  closeSync(openSync(file, 'a', 0o600));
}

/**
 * A logger and the way to get its last lines out before the process ends. Throws what the system says about a file
 * that cannot be used.
 */
export function createLog(options: LogOptions): { log: Logger; flush: () => void } {
  if (options.file !== null) tryFile(options.file);
  // Asynchronous: a slow disk must not hold up the main thread. `flush` is for the end.
  const destination = pino.destination({
    dest: options.file ?? 1,
    sync: false,
    mode: 0o600,
  });
  if (options.file !== null) rotateBySize(destination, options.file, options.fileBytesMax);
  const log = pino(
    {
      level: options.level,
      base: { subsystem: 'volantd' },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination as DestinationStream,
  );
  return { log, flush: () => destination.flushSync() };
}

function rotateBySize(
  destination: ReturnType<typeof pino.destination>,
  file: string,
  bytesMax: number,
): void {
  let bytes = sizeOf(file);
  destination.on('write', (written: number) => {
    bytes += written;
    if (bytes <= bytesMax) return;
    bytes = 0;
    // A rename and an open of one small file: microseconds, and rare.
    renameSync(file, `${file}.1`);
    destination.reopen(file);
  });
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
