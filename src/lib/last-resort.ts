// lib: errors that nobody took. Each belongs to one exchange, one job or one timer, and is a bug of ours; the records and
// the kernel are consistent at any moment, so it is told and everything else goes on. A loop of them must not fill the log.

import type { Logger } from './log.ts';

/** So many are told in each interval; of those beyond them the number is. */
const TOLD_MAX = 20;
const INTERVAL_MS = 60_000;

/** From here on no such error ends the process, and what Node warns of goes to the log. */
export function surviveErrors(log: Logger): void {
  let told = 0;
  let untold = 0;
  let beganMs = Number.NEGATIVE_INFINITY;
  const tell = (error: unknown, origin: string) => {
    const nowMs = performance.now();
    if (nowMs - beganMs >= INTERVAL_MS) {
      if (untold > 0) log.error({ errors: untold }, 'more errors that nobody took');
      [told, untold, beganMs] = [0, 0, nowMs];
    }
    if (told >= TOLD_MAX) {
      untold += 1;
      return;
    }
    told += 1;
    log.error({ err: error, origin }, 'an error that nobody took; the daemon goes on');
  };
  process.on('uncaughtException', tell);
  process.on('unhandledRejection', (reason) => tell(reason, 'unhandledRejection'));
  // By itself Node writes them to standard error, and waits while nobody reads it.
  process.removeAllListeners('warning');
  process.on('warning', (warning) => log.warn({ err: warning }, 'Node warns'));
  // Whoever read standard error has gone.
  process.stderr.on('error', () => undefined);
}
