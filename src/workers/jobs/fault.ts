// workers: what a job throws. A JobFault says what the client is told; anything else that is thrown in
// a job becomes HOST_OPERATION_FAILED with the original for the log.

import type { ErrorCode } from '../../lib/errors.ts';
import { type Fault, failure, type Outcome } from '../../lib/outcome.ts';

export class JobFault extends Error {
  override readonly name = 'JobFault';
  readonly fault: Fault;

  constructor(code: ErrorCode, message: string, cause?: unknown, details?: Fault['details']) {
    super(message);
    this.fault = {
      code,
      message,
      ...(cause === undefined ? {} : { cause: textOf(cause) }),
      ...(details === undefined ? {} : { details }),
    };
  }
}

/** The code of an error of the system, such as EPERM; undefined for other errors. */
export function errnoOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}

/** What the operator can mend is told as such: permissions that are lacking, and a disk that is full. */
export function faultOf(thrown: unknown, job: string): Outcome<never> {
  if (thrown instanceof JobFault) return failure(thrown.fault);
  const cause = textOf(thrown);
  const errno = errnoOf(thrown);
  if (errno === 'EPERM' || errno === 'EACCES') {
    const message = `The daemon is not allowed to do this (${job}); run it as root`;
    return failure({ code: 'HOST_PERMISSION', message, cause });
  }
  if (errno === 'ENOSPC' || errno === 'EDQUOT') {
    return failure({ code: 'DISK_SPACE_LOW', message: `The disk is full (${job})`, cause });
  }
  const message = `The host refused an operation (${job}${errno === undefined ? '' : `, ${errno}`})`;
  return failure({ code: 'HOST_OPERATION_FAILED', message, cause });
}

function textOf(thrown: unknown): string {
  return thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
}
