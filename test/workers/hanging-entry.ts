// test fixture: what threads run in worker-pool.test.ts. The argument says what a job does; the real jobs are not here.

import { closeSync, openSync } from 'node:fs';
import { type Outcome, success } from '../../src/lib/outcome.ts';

export interface Told {
  /** A pipe: the job hangs in the kernel until somebody opens it for writing. */
  readonly pipe?: string;
  readonly result?: unknown;
  /** The thread ends in the middle of the job. */
  readonly dies?: boolean;
}

export function runJob({ argument }: { readonly argument: Told }): Outcome<unknown> {
  if (argument.dies) process.exit(3);
  if (argument.pipe !== undefined) closeSync(openSync(argument.pipe, 'r'));
  return success(argument.result ?? null);
}
