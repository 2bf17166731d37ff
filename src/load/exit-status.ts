// load: how volant-load ends: its exit statuses, and what is wrong with a call.

import type { Verdict } from './report/run-report.ts';

/** Exit statuses; programs rely on them. */
export const EXIT = {
  ok: 0,
  /** A threshold did not hold; also of `clean`: something could not be removed. */
  failed: 1,
  usage: 2,
  /** The run says nothing about the daemon: the generator was late or saturated, or the daemon could not be reached. */
  invalid: 3,
  /** By Ctrl-C; as shells count it. */
  interrupted: 130,
} as const;

export const EXIT_OF_VERDICT: Readonly<Record<Verdict, number>> = {
  passed: EXIT.ok,
  failed: EXIT.failed,
  aborted: EXIT.failed,
  invalid: EXIT.invalid,
  interrupted: EXIT.interrupted,
};

/** The command line cannot be used. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The message was printed, and the status follows from the result. */
export class PrintedResult extends Error {
  override readonly name = 'PrintedResult';
  readonly exit: number;

  constructor(exit: number) {
    super(`status ${exit}`);
    this.exit = exit;
  }
}
