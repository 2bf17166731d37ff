// jobs, network: the name servers that the host uses.

import { readFileSync } from 'node:fs';
import { parseIpv4 } from '../../../lib/net/ipv4.ts';
import { errnoOf } from '../fault.ts';

/** The second is that of systemd-resolved, whose own stub on the loopback is all that the first names then. */
const RESOLVER_FILES = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'];

/** IPv4 name servers that a guest can reach: a resolver on the host's loopback is none. */
export function readNameServers(
  _argument: object = {},
  paths: readonly string[] = RESOLVER_FILES,
): readonly string[] {
  for (const path of paths) {
    const servers = nameServersIn(path);
    if (servers.length > 0) return servers;
  }
  return [];
}

function nameServersIn(path: string): readonly string[] {
  try {
    return [...readFileSync(path, 'utf8').matchAll(/^\s*nameserver\s+(\S+)/gm)]
      .map((match) => match[1] ?? '')
      .filter((address) => parseIpv4(address) !== null && !address.startsWith('127.'));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}
