// lib, log: uncaught errors. Each is a bug that concerns one exchange, one job or one timer. The records and the
// kernel are consistent at any moment, so the error is logged and the daemon continues. The number of log lines is
// bounded.

import type { Logger } from './log.ts';

/** Number of errors that are logged in each interval. The others are counted. */
const LOGGED_MAX = 20;
const INTERVAL_MS = 60_000;

/** From now on uncaught errors do not end the process, and Node's warnings go to the log. */
export function logUncaughtErrors(log: Logger): void {
  let logged = 0;
  let unlogged = 0;
  let beganMs = Number.NEGATIVE_INFINITY;
  const logError = (error: unknown, origin: string) => {
    const nowMs = performance.now();
    if (nowMs - beganMs >= INTERVAL_MS) {
      if (unlogged > 0) log.error({ errors: unlogged }, 'more uncaught errors');
      [logged, unlogged, beganMs] = [0, 0, nowMs];
    }
    if (logged >= LOGGED_MAX) {
      unlogged += 1;
      return;
    }
    logged += 1;
    log.error({ err: error, origin }, 'an uncaught error; the daemon continues');
  };
  process.on('uncaughtException', logError);
  process.on('unhandledRejection', (reason) => logError(reason, 'unhandledRejection'));
  // Node's default writes warnings to standard error, and blocks while nobody reads it.
  process.removeAllListeners('warning');
  process.on('warning', (warning) => log.warn({ err: warning }, 'Node warns'));
  // The reader of standard error has gone.
  process.stderr.on('error', () => undefined);
}
