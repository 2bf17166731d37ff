// workers, job: connections that host ports have led to guests and that go on, as the kernel tracks them
// (net/netfilter/nf_conntrack_standalone.c has the format of its list).

import { readFileSync } from 'node:fs';
import type { JobArgument } from '../protocol.ts';
import { errnoOf } from './fault.ts';

const LIST = '/proc/net/nf_conntrack';

/** The kernel remembers these for a while after their end. */
const OVER = new Set(['TIME_WAIT', 'CLOSE']);

/** How many TCP connections; null where this kernel does not list them. */
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

/** Pure. */
export function connectionsIn(
  list: string,
  targets: JobArgument<'countConnections'>['targets'],
): number {
  const wanted = new Set(targets.map(({ address, port }) => `${address} ${port}`));
  return list.split('\n').filter((line) => {
    const [, , protocol, , , state = ''] = line.split(/\s+/);
    if (protocol !== 'tcp' || OVER.has(state)) return false;
    // First as its client sees it, then as the guest answers: a translated one was meant for another address.
    const [, meantFor] = line.match(/ dst=(\S+)/) ?? [];
    const [, answersFrom] = line.match(/ src=\S+.* src=(\S+)/) ?? [];
    const [, answersPort] = line.match(/ sport=\d+.* sport=(\d+)/) ?? [];
    return meantFor !== answersFrom && wanted.has(`${answersFrom} ${answersPort}`);
  }).length;
}
