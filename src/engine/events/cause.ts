// engine, events: causes. A cause says why something is done. What decides on an action passes its cause down with
// the work, and the cause is stored with the wanted state. So later events name it, even those of a later daemon.

import type { Cause } from '../records.ts';

/** The daemon's own decision. */
export const BY_DAEMON: Cause = { by: 'daemon' };

/** The deadline of a VM has passed. */
export const BY_DEADLINE: Cause = { by: 'deadline' };

/** A hypervisor that ended by itself. */
export const BY_EXIT: Cause = { by: 'exit' };

/** The id of the request behind a cause, as a member of an event, an operation or a log line. */
export function requestIn(cause: Cause | undefined): { readonly request_id?: string } {
  return cause?.requestId === undefined ? {} : { request_id: cause.requestId };
}
