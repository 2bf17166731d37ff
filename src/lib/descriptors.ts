// lib: how many files this process may have open, and how many of them connections may use. Node raises the soft
// limit to the hard limit at its start.

import { readFileSync } from 'node:fs';

/** If the kernel does not say: the smallest usual limit. */
const FALLBACK = 1024;

/** Returns the soft limit of open files. Reads a file: only for the start of the daemon. */
export function descriptorLimit(): number {
  const [, soft] = /^Max open files +(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
  if (soft === 'unlimited') return Number.MAX_SAFE_INTEGER;
  return Number(soft ?? FALLBACK) || FALLBACK;
}

/** Maximum numbers of connections of each kind. */
export interface ConnectionBudget {
  /** HTTP connections, including event streams. */
  readonly connections: number;
  readonly eventStreams: number;
  readonly webSockets: number;
}

/**
 * Connections get half of what the limit leaves beside `reserved`; VMs need the other half. Streams get only a part
 * of that, so that other requests still get connections.
 */
export function budgetOf(
  limit: number,
  reserved: number,
  most: ConnectionBudget,
): ConnectionBudget {
  const half = Math.max(8, Math.floor((limit - reserved) / 2));
  const webSockets = Math.min(most.webSockets, Math.floor(half / 4));
  const connections = Math.min(most.connections, half - webSockets);
  const eventStreams = Math.min(most.eventStreams, Math.floor(connections / 2));
  return { connections, eventStreams, webSockets };
}
