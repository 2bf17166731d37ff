// workers, main-thread side: one kind of error: the host refused, and may be in another state than was thought.

import { VolantError } from '../lib/errors.ts';

export function isHostFailure(error: unknown): boolean {
  return error instanceof VolantError && error.code === 'HOST_OPERATION_FAILED';
}
