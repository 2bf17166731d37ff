// workers, job: ports of the host that lead to guests, as destination NAT. The whole table is written
// each time: what stands there is what should stand there, whatever happened before.

import { readFileSync, writeFileSync } from 'node:fs';
import type { Forward } from '../../engine/network-ports.ts';
import type { JobArgument } from '../protocol.ts';
import { nft, tableOf } from './nft.ts';

export function setForwards({ settings, spec, forwards }: JobArgument<'setForwards'>): null {
  const table = `${tableOf(settings.hostTag)}_ports`;
  const emptied = `add table ip ${table}\ndelete table ip ${table}\n`;
  const used = forwards.filter(({ targets }) => targets.length > 0);
  if (used.length === 0) {
    nft(emptied, 'Host ports');
    return null;
  }
  routeLoopback(spec.bridge);
  nft(emptied + tableText(table, used, spec), 'Host ports');
  return null;
}

/** Without it the kernel drops what a program of the host sends to 127.0.0.1 and we send to a guest. */
function routeLoopback(bridge: string): void {
  const path = `/proc/sys/net/ipv4/conf/${bridge}/route_localnet`;
  if (readFileSync(path, 'utf8').trim() !== '1') writeFileSync(path, '1\n');
}

/**
 * New connections are looked up once; the kernel remembers them. A guest that asks for 127.0.0.1 by way
 * of its network is stopped: with loopback addresses routed it would reach the host's own services.
 */
function tableText(
  table: string,
  forwards: readonly Forward[],
  { bridge, subnet, exposeAddress }: JobArgument<'setForwards'>['spec'],
): string {
  const local = exposeAddress === '0.0.0.0' ? 'fib daddr type local' : `ip daddr ${exposeAddress}`;
  return `
table ip ${table} {
  chain targets {
    ${forwards.map(ruleOf).join('\n    ')}
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    ${local} jump targets
  }
  chain output {
    type nat hook output priority -100; policy accept;
    ${local} jump targets
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 127.0.0.0/8 oifname "${bridge}" ct status dnat masquerade
    ip saddr ${subnet} oifname "${bridge}" ct status dnat masquerade
  }
  chain guard {
    type filter hook prerouting priority raw; policy accept;
    iifname "${bridge}" ip daddr 127.0.0.0/8 drop
  }
}
`;
}

function ruleOf({ protocol, hostPort, targets }: Forward): string {
  const match = `${protocol} dport ${hostPort} dnat ip to`;
  const [first] = targets;
  if (targets.length === 1 && first !== undefined) return `${match} ${first.address}:${first.port}`;
  const turns = targets.map(({ address, port }, turn) => `${turn} : ${address} . ${port}`);
  return `${match} numgen inc mod ${targets.length} map { ${turns.join(', ')} }`;
}
