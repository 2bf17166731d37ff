// engine: why something is done. Whoever decides that something shall be done says it, it is passed down with the work,
// and it is written down with a wish: so what is told of the work later, by a daemon that came after, too, has it.

import type { Cause } from './records.ts';

/** Nobody asked: the daemon has its own reason. */
export const BY_DAEMON: Cause = { by: 'daemon' };

/** A hypervisor ended by itself. */
export const BY_EXIT: Cause = { by: 'exit' };

/** The id of the request behind it, as a member of an event, an operation or a line of the log. */
export function requestIn(cause: Cause | undefined): { readonly request_id?: string } {
  return cause?.requestId === undefined ? {} : { request_id: cause.requestId };
}
