// jobs, network: counts the open connections that published ports have led to guests, from the kernel's connection
// tracking (net/netfilter/nf_conntrack_standalone.c has the format of its list).

import { readFileSync } from 'node:fs';
import { errnoOf } from '../fault.ts';
import type { JobArgument } from '../protocol.ts';

const LIST = '/proc/net/nf_conntrack';

/** States of connections that have ended and that the kernel still lists. */
const OVER = new Set(['TIME_WAIT', 'CLOSE']);

/** Counts TCP connections to these backends. null: this kernel does not list connections. */
export function countConnections({ targets }: JobArgument<'countConnections'>): number | null {
  let list: string;
  try {
    list = readFileSync(LIST, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  }
  return connectionsIn(list, targets);
}

/** Counts in the text of the list. Pure. */
export function connectionsIn(
  list: string,
  targets: JobArgument<'countConnections'>['targets'],
): number {
  const wanted = new Set(targets.map(({ address, port }) => `${address} ${port}`));
  return list.split('\n').filter((line) => {
    const [, , protocol, , , state = ''] = line.split(/\s+/);
    if (protocol !== 'tcp' || OVER.has(state)) return false;
    // Each line has the client's direction first, then the answers. A forwarded connection was sent to another
    // address than it is answered from.
    const [, meantFor] = line.match(/ dst=(\S+)/) ?? [];
    const [, answersFrom] = line.match(/ src=\S+.* src=(\S+)/) ?? [];
    const [, answersPort] = line.match(/ sport=\d+.* sport=(\d+)/) ?? [];
    return meantFor !== answersFrom && wanted.has(`${answersFrom} ${answersPort}`);
  }).length;
}
