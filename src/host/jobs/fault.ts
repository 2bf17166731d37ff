// jobs: the errors of jobs. A JobFault carries the code and message for the client. Any other error that a job throws
// becomes HOST_OPERATION_FAILED, with the original for the log.

import { type ErrorCode, VolantError } from '../../lib/errors.ts';
import { type Fault, failure, type Outcome } from '../../lib/outcome.ts';

/** An error with a code for the client. `cause` is for the log only. */
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

/** Returns the code of a system error, such as EPERM; undefined for other errors. */
export function errnoOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}

/**
 * Converts what a job threw. Errors that the operator can fix have codes of their own: missing permissions and a full
 * disk.
 */
export function faultOf(thrown: unknown, job: string): Outcome<never> {
  if (thrown instanceof JobFault) return failure(thrown.fault);
  // Code that threads share with the daemon, such as the drivers, throws what the daemon throws.
  if (thrown instanceof VolantError) {
    const { code, title, details, cause } = thrown;
    return failure(new JobFault(code, title, cause, details).fault);
  }
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
