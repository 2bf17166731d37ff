// workers: rules of IP for the guests' network that are there as long as it is: who is forwarded, who is
// masqueraded, and what guests never reach. Only text; rules of the bridge are in guest-filter.ts.

import type { NetworkSpec } from '../../engine/network-ports.ts';
import type { HostSettings } from '../protocol.ts';
import { shardPattern } from './bridge-shards.ts';
import { tableOf } from './nft.ts';

/** "volt": on packets from guest to guest by a host port. It is seen on this host only. */
export const HOST_PORT_MARK = '0x766f6c74';

/**
 * One transaction: the old rules count until the new ones do.
 *
 * - Where bridges hand frames to the rules of IP (br_netfilter), a packet to or from a shard passes twice: it
 *   is looked at on the first bridge only.
 * - Host ports need loopback addresses to be routed to the bridge, and then the bridge could reach what listens
 *   on the host's loopback: packets with such an address are dropped, whether there is a host port or not.
 * - The way to the outside may lead by the bridge itself, where a network card is a port of it. Then the kernel
 *   would tell guests to go there directly, and nobody would masquerade them.
 * - Guests are reached from outside by connections that somebody has forwarded to them (DNAT) and no others.
 *   Shards hang on the first bridge, so what is routed to any guest leaves by that one.
 */
export function natRules(settings: HostSettings, { bridge, subnet }: NetworkSpec): string {
  const { hostTag, guestIsolation } = settings;
  const table = tableOf(hostTag);
  const shards = shardPattern(hostTag);
  return `
add table ip ${table}
delete table ip ${table}
table ip ${table} {
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
    iifname "${bridge}" jump guard
    iifname "${shards}" jump guard
    iifname "${shards}" notrack
  }
  chain guard {
    ip daddr 127.0.0.0/8 drop
    ip saddr 127.0.0.0/8 drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${subnet} ip daddr != { ${subnet}, 224.0.0.0/3 } masquerade
  }
  chain output {
    type filter hook output priority filter; policy accept;
    oifname "${bridge}" icmp type redirect drop
  }
  ${guestIsolation ? marksText(bridge, subnet) : ''}
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "${bridge}" accept
    iifname "${shards}" accept
    oifname != "${bridge}" accept
    ct state established,related accept
    ct status dnat accept
    drop
  }
}
`;
}

/**
 * Where bridges hand frames to the rules of IP, what a guest sends to a host port may go to the other guest over
 * the bridge, where the rules for isolated guests must tell it from what was sent without.
 */
function marksText(bridge: string, subnet: string): string {
  return `chain marks {
    type filter hook prerouting priority dstnat + 1; policy accept;
    iifname "${bridge}" ip daddr ${subnet} ct status dnat meta mark set ${HOST_PORT_MARK}
  }`;
}
