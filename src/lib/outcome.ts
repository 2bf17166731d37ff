// lib: the form in which results cross threads. An Error loses its class and its code on the way out of a worker
// (structured clone keeps name, message and stack only), so jobs return an Outcome and never throw. What jobs do does
// not belong here.

import { type ErrorCode, VolantError } from './errors.ts';

/** A failure as plain data, which can be cloned, logged and turned back into a VolantError. */
export interface Fault {
  /** The code of the answer, unless a caller replaces it. */
  readonly code: ErrorCode;
  /** One sentence for a person, without paths of this host or stack traces. */
  readonly message: string;
  /** Entries of the API's `details`, keyed by what they are about. */
  readonly details?: Readonly<Record<string, string>>;
  /** The error of the kernel or a tool, for the log only. Never sent to a client. */
  readonly cause?: string;
}

/** A value, or the fault because of which there is none. */
export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly fault: Fault };

export function success<T>(value: T): Outcome<T> {
  return { ok: true, value };
}

export function failure(fault: Fault): Outcome<never> {
  return { ok: false, fault };
}

/** Returns the value, or throws the fault as a VolantError. */
export function unwrap<T>(outcome: Outcome<T>): T {
  if (outcome.ok) return outcome.value;
  const { code, message, details, cause } = outcome.fault;
  throw new VolantError(code, message, {
    ...(details === undefined ? {} : { details }),
    ...(cause === undefined ? {} : { cause: new Error(cause) }),
  });
}
