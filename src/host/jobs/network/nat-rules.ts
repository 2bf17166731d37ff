// jobs, network: the text of the IP rules of the guests' network that do not depend on single guests: forwarding,
// masquerading, and what guests must never reach. Rules of the bridge are in filter-rules.ts, published ports in
// forwards.ts.

import type { NetworkSpec } from '../../../engine/ports/network-ports.ts';
import type { HostSettings } from '../protocol.ts';
import { tableOf } from './nft.ts';
import { secondaryBridgePattern } from './secondary-bridges.ts';

/** "volt" in ASCII: the mark of packets from guest to guest through a published port. It does not leave the host. */
export const HOST_PORT_MARK = '0x766f6c74';

/**
 * The text of one nft transaction: the old rules apply until the new ones do.
 *
 * - Where bridges pass frames to the rules of IP (br_netfilter), a packet to or from a secondary bridge passes twice.
 *   It is tracked on the first bridge only.
 * - Published ports need loopback addresses to be routed to the bridge, and the bridge could then reach services on
 *   the host's loopback. Packets with such an address are dropped, whether or not a port is published.
 * - The route to the outside may lead through the bridge itself, when a network card is a port of it. The kernel
 *   would then redirect guests to that route, where nothing masquerades them.
 * - Guests are reached from outside only by connections that were forwarded to them (DNAT). Secondary bridges are
 *   attached to the first bridge, so packets that are routed to any guest leave through that one.
 */
export function natRules(settings: HostSettings, { bridge, subnet }: NetworkSpec): string {
  const { hostTag, guestIsolation } = settings;
  const table = tableOf(hostTag);
  const secondaryBridges = secondaryBridgePattern(hostTag);
  return `
add table ip ${table}
delete table ip ${table}
table ip ${table} {
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
    iifname "${bridge}" jump guard
    iifname "${secondaryBridges}" jump guard
    iifname "${secondaryBridges}" notrack
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
    iifname "${secondaryBridges}" accept
    oifname != "${bridge}" accept
    ct state established,related accept
    ct status dnat accept
    drop
  }
}
`;
}

/**
 * Where bridges pass frames to the rules of IP, a packet that a guest sends to a published port may reach the other
 * guest over the bridge. The mark lets the rules for isolated guests distinguish it from direct packets.
 */
function marksText(bridge: string, subnet: string): string {
  return `chain marks {
    type filter hook prerouting priority dstnat + 1; policy accept;
    iifname "${bridge}" ip daddr ${subnet} ct status dnat meta mark set ${HOST_PORT_MARK}
  }`;
}
