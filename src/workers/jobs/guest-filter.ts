// workers, job: what guests may send: frames with their own MAC address and from their own IP address,
// nothing else. Rules of the bridge, so that they hold between guests, too.

import type { GuestIdentity } from '../../engine/network-ports.ts';
import type { JobArgument } from '../protocol.ts';
import { uplinkPattern } from './bridge-shards.ts';
import { nft, tableOf } from './nft.ts';

const NONE = '0.0.0.0';
/** A guest is nobody's DHCP server. */
const DHCP_SERVER_PORT = 67;

/** Rules for these guests and no others. */
export function makeGuestFilter({ settings, guests }: JobArgument<'makeGuestFilter'>): null {
  const table = tableOf(settings.hostTag);
  const { antiSpoofing, guestIsolation } = settings;
  // Adding first makes the deletion succeed whether it was there or not.
  const parts = [`add table bridge ${table}`, `delete table bridge ${table}`];
  if (antiSpoofing || guestIsolation) parts.push(tableText(table, settings, guests));
  nft(`${parts.join('\n')}\n`, 'The filter for guests');
  return null;
}

/** Guests that come and go. One that leaves may be unknown. */
export function changeGuestFilter({
  settings,
  admitted,
  left,
}: JobArgument<'changeGuestFilter'>): null {
  const table = tableOf(settings.hostTag);
  const lines = [
    // Adding first makes the deletion succeed whether it was there or not.
    ...[...left, ...admitted].flatMap((guest) => elementLines('add', table, guest)),
    ...left.flatMap((guest) => elementLines('delete', table, guest)),
  ];
  nft(`${lines.join('\n')}\n`, 'The filter for guests');
  return null;
}

function elementLines(verb: 'add' | 'delete', table: string, guest: GuestIdentity): string[] {
  const of = (set: string, elements: readonly string[]) =>
    elements.map((element) => `${verb} element bridge ${table} ${set} { ${element} }`);
  return [...of('guests', addressesOf(guest)), ...of('any_address', anyAddressOf(guest))];
}

/** Who asks for a lease has no address yet, and looks whether the one that it is offered is free. */
function addressesOf({ tapName, macAddress, ipAddress, asksForLease }: GuestIdentity): string[] {
  const addresses = [...(ipAddress === null ? [] : [ipAddress]), ...(asksForLease ? [NONE] : [])];
  return addresses.map((address) => `"${tapName}" . ${macAddress} . ${address}`);
}

function anyAddressOf({ tapName, macAddress, ipAddress }: GuestIdentity): string[] {
  return ipAddress === null ? [`"${tapName}" . ${macAddress}`] : [];
}

function elementsOf(elements: readonly string[]): string {
  return elements.length === 0 ? '' : `elements = { ${elements.join(', ')} };`;
}

/**
 * ARP announces who has an address, so it is held to the same rule. The guests' network is IPv4:
 * everything else is dropped.
 */
function tableText(
  table: string,
  { hostTag, antiSpoofing, guestIsolation }: JobArgument<'makeGuestFilter'>['settings'],
  guests: readonly GuestIdentity[],
): string {
  const links = `"vt${hostTag}-*"`;
  const filters = `
  set guests {
    type ifname . ether_addr . ipv4_addr;
    ${elementsOf(guests.flatMap(addressesOf))}
  }
  set any_address {
    type ifname . ether_addr;
    ${elementsOf(guests.flatMap(anyAddressOf))}
  }
  chain prerouting {
    type filter hook prerouting priority filter; policy accept;
    iifname != ${links} accept
    udp sport ${DHCP_SERVER_PORT} drop
    ether type arp iifname . arp saddr ether . arp saddr ip @guests accept
    ether type ip iifname . ether saddr . ip saddr @guests accept
    ether type { arp, ip } iifname . ether saddr @any_address accept
    drop
  }`;
  const uplinks = `"${uplinkPattern(hostTag)}"`;
  // Uplinks are ports of the first bridge only: what goes from one bridge of guests to another passes there.
  const isolates = `
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname ${links} oifname ${links} drop
    iifname ${links} oifname ${uplinks} drop
    iifname ${uplinks} oifname ${links} drop
    iifname ${uplinks} oifname ${uplinks} drop
  }`;
  return `table bridge ${table} {${antiSpoofing ? filters : ''}${guestIsolation ? isolates : ''}\n}`;
}
