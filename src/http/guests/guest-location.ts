// http, guests: rewrites a guest's redirects so that they stay within the guest, as a reverse proxy does, or drops them. A
// client that follows a redirect sends its API key again, and the daemon accepts that key for more than one guest.

import { hasDotSegment } from '../../lib/net/dot-segments.ts';

/** The agent forwards paths below this one to the workload. */
const RELAY_PREFIX = '/v1';

/** Stands for the workload's origin if its manifest has none. */
const UNKNOWN_WORKLOAD = 'http://workload.invalid';

export interface GuestRequestPlace {
  /** Path of the guest's agent in the API, such as /api/v1/vms/one/agent. */
  readonly agentPath: string;
  /** Requested path and query at the agent. */
  readonly target: string;
  /** The base_url of the guest's manifest; null if there is none. */
  readonly workloadUrl: string | null;
}

/**
 * The path in the API for a workload's Location; null if that is outside of the workload. A workload knows itself only by
 * its base_url, so absolute URLs below it and plain paths mean the workload. All other URLs mean another server.
 */
export function confinedLocation(location: string, place: GuestRequestPlace): string | null {
  const { agentPath, target, workloadUrl } = place;
  if (!/^\/v1([/?]|$)/.test(target)) return null;
  const base = parsed(workloadUrl ?? '') ?? new URL(UNKNOWN_WORKLOAD);
  const prefix = base.pathname.replace(/\/+$/, '');
  // This is the URL parser of clients: it treats dots, backslashes and tabs as they do.
  const asked = `${base.origin}${prefix}${target.slice(RELAY_PREFIX.length)}`;
  const to = parsed(location, asked);
  if (to === null || !originsOf(base).includes(to.origin)) return null;
  const isBelow = to.pathname === prefix || to.pathname.startsWith(`${prefix}/`);
  const path = to.pathname.slice(prefix.length);
  // A path that is escaped twice may have dot segments after a proxy has decoded it. The daemon would refuse it, too.
  if (!isBelow || hasDotSegment(path)) return null;
  return `${agentPath}${RELAY_PREFIX}${path}${to.search}${to.hash}`;
}

/** The agent connects to a workload at localhost by its address. */
function originsOf(base: URL): string[] {
  if (base.hostname !== 'localhost') return [base.origin];
  const byAddress = new URL(base);
  byAddress.hostname = '127.0.0.1';
  return [base.origin, byAddress.origin];
}

function parsed(text: string, base?: string): URL | null {
  return URL.canParse(text, base) ? new URL(text, base) : null;
}
