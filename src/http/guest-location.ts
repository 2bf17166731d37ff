// http: where a guest's redirect leads its client: within the guest, as a reverse proxy would have it, or nowhere. A
// client that follows it repeats its request with its key, and to the daemon that key is good for more than one guest.

import { hasDotSegment } from '../lib/dot-segments.ts';

/** The agent hands on to the workload what is below this. */
const RELAY_PREFIX = '/v1';

/** Where the workload is when its manifest does not say. */
const UNKNOWN_WORKLOAD = 'http://workload.invalid';

export interface GuestRequestPlace {
  /** Path of the guest's agent at the API, such as /api/v1/vms/one/agent. */
  readonly agentPath: string;
  /** Path and query at the agent that were asked for. */
  readonly target: string;
  /** The base_url of the guest's manifest; null when there is none. */
  readonly workloadUrl: string | null;
}

/**
 * The path at the API of what a workload's Location means; null where that is outside of the workload. A workload
 * knows itself by its base_url only, so absolute URLs of that one and paths mean the workload, all others mean another server.
 */
export function confinedLocation(location: string, place: GuestRequestPlace): string | null {
  const { agentPath, target, workloadUrl } = place;
  if (!/^\/v1([/?]|$)/.test(target)) return null;
  const base = parsed(workloadUrl ?? '') ?? new URL(UNKNOWN_WORKLOAD);
  const prefix = base.pathname.replace(/\/+$/, '');
  // The parser of URLs is that of clients: it takes dots, backslashes and tabs as they do.
  const asked = `${base.origin}${prefix}${target.slice(RELAY_PREFIX.length)}`;
  const to = parsed(location, asked);
  if (to === null || !originsOf(base).includes(to.origin)) return null;
  const isBelow = to.pathname === prefix || to.pathname.startsWith(`${prefix}/`);
  const path = to.pathname.slice(prefix.length);
  // What is escaped twice may climb once a proxy has undone it. The daemon would refuse it, too.
  if (!isBelow || hasDotSegment(path)) return null;
  return `${agentPath}${RELAY_PREFIX}${path}${to.search}${to.hash}`;
}

/** The agent asks a workload at localhost by its address. */
function originsOf(base: URL): string[] {
  if (base.hostname !== 'localhost') return [base.origin];
  const byAddress = new URL(base);
  byAddress.hostname = '127.0.0.1';
  return [base.origin, byAddress.origin];
}

function parsed(text: string, base?: string): URL | null {
  return URL.canParse(text, base) ? new URL(text, base) : null;
}
