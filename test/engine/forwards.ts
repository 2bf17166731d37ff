// test: what a pretend kernel was asked about host ports, as text.

import type { World } from './fakes.ts';

/** "tcp 8080 > 192.168.127.10:80" for each forward in the kernel. */
export function forwardsOf({ host }: World): string[] {
  const lines = host.forwards.map(({ protocol, hostPort, targets }) => {
    const to = targets.map(({ address, port }) => `${address}:${port}`).join(' ');
    return `${protocol} ${hostPort} > ${to}`;
  });
  return lines.sort();
}
