// lib: the shape in which a result crosses a thread. An Error loses its class and its code on the
// way out of a worker (structured clone keeps name, message and stack only), so jobs never throw:
// they return an Outcome. Nothing here knows what a job does.

import { type ErrorCode, VolantError } from './errors.ts';

/** A failure as plain data: safe to clone, to log and to turn back into a VolantError. */
export interface Fault {
  /** The code that the API answers with when nothing upstream knows better. */
  readonly code: ErrorCode;
  /** One sentence for a person, without paths of this host or stack traces. */
  readonly message: string;
  /** More for the API's `details`, keyed by what it is about. */
  readonly details?: Readonly<Record<string, string>>;
  /** What the kernel or a tool said, for the log only: never sent to a client. */
  readonly cause?: string;
}

/** Either the value or the reason why there is none. */
export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly fault: Fault };

export function success<T>(value: T): Outcome<T> {
  return { ok: true, value };
}

export function failure(fault: Fault): Outcome<never> {
  return { ok: false, fault };
}

/** The value, or the fault thrown as a VolantError. */
export function unwrap<T>(outcome: Outcome<T>): T {
  if (outcome.ok) return outcome.value;
  const { code, message, details, cause } = outcome.fault;
  throw new VolantError(code, message, {
    ...(details === undefined ? {} : { details }),
    ...(cause === undefined ? {} : { cause: new Error(cause) }),
  });
}
