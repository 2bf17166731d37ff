// load, measure: how one operation ended: it succeeded, the daemon refused it, or it failed with a code.

import { ApiError, ConnectionError, RequestTimeoutError } from '../../client/errors.ts';

export type OperationOutcome =
  | { readonly kind: 'succeeded' }
  | { readonly kind: 'refused'; readonly code: string }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

export const SUCCEEDED: OperationOutcome = { kind: 'succeeded' };

/** A step did not reach what it was to wait for. */
export class StepTimeout extends Error {
  override readonly name = 'StepTimeout';
}

/** What a step waited for can never come. */
export class StepFailure extends Error {
  override readonly name = 'StepFailure';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** The end of the run cancels what is still running. */
export class Cancelled extends Error {
  override readonly name = 'Cancelled';

  constructor() {
    super('The run ended');
  }
}

/** The daemon says with these that it was asked for more than it takes. */
const REFUSALS: readonly number[] = [429, 503];

export function outcomeOf(error: unknown): OperationOutcome {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof ApiError && REFUSALS.includes(error.status)) {
    return { kind: 'refused', code: error.code };
  }
  return { kind: 'failed', code: codeOf(error), message };
}

function codeOf(error: unknown): string {
  if (error instanceof ApiError) return error.code;
  if (error instanceof RequestTimeoutError || error instanceof StepTimeout) return 'TIMEOUT';
  if (error instanceof Cancelled) return 'CANCELLED';
  if (error instanceof ConnectionError) return error.code ?? 'CONNECTION';
  if (error instanceof StepFailure) return error.code;
  return 'OTHER';
}
