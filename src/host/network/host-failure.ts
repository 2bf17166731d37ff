// host, network: recognises errors after which the host's state may differ from what was expected.

import { VolantError } from '../../lib/errors.ts';

/** Whether a job failed because the host refused an operation. */
export function isHostFailure(error: unknown): boolean {
  return error instanceof VolantError && error.code === 'HOST_OPERATION_FAILED';
}
