// lib: how many files this process may have open, and what of that its connections may take. Node raises the soft
// limit to the hard one before any of our code runs.

import { readFileSync } from 'node:fs';

/** Where the kernel does not tell: the smallest limit that systems start with. */
const FALLBACK = 1024;

/** The soft limit of open files. Reads one small file, so it is for the start. */
export function descriptorLimit(): number {
  const [, soft] = /^Max open files +(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
  if (soft === 'unlimited') return Number.MAX_SAFE_INTEGER;
  return Number(soft ?? FALLBACK) || FALLBACK;
}

/** How many of each may be open at once. */
export interface ConnectionBudget {
  /** Those that speak HTTP; streams are among them. */
  readonly connections: number;
  readonly eventStreams: number;
  readonly webSockets: number;
}

/**
 * Half of what the limit leaves beside `reserved`: VMs need the other half. Streams never take all of it, so that
 * requests get through beside them.
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
