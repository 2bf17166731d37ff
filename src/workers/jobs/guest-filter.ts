// workers, job: what guests may send: frames with their own MAC address and from their own IP address,
// nothing else, and to whom. Rules of the bridge, so that they hold between guests, too.

import type { GuestIdentity } from '../../engine/network-ports.ts';
import { native } from '../native.ts';
import type { HostSettings, JobArgument } from '../protocol.ts';
import { uplinkPattern } from './bridge-shards.ts';
import { HOST_PORT_MARK } from './nat-rules.ts';
import { nft, tableOf } from './nft.ts';
import { digestOf, readTables } from './nft-tables.ts';

const NONE = '0.0.0.0';
/** A guest is nobody's DHCP server. */
const DHCP_SERVER_PORT = 67;

/** Rules for these guests and no others. Tells the rules as they are read back later. */
export function makeGuestFilter(argument: JobArgument<'makeGuestFilter'>): string | null {
  const { settings, spec, guests } = argument;
  const table = tableOf(settings.hostTag);
  const { antiSpoofing, guestIsolation } = settings;
  const ofBridge = native.linkAddresses(spec.bridge);
  const chains = [
    ...(antiSpoofing ? [sendersText(settings, ofBridge, guests)] : []),
    ...(guestIsolation ? [isolationText(settings, ofBridge)] : []),
  ];
  // Adding first makes the deletion succeed whether it was there or not.
  const parts = [`add table bridge ${table}`, `delete table bridge ${table}`];
  if (chains.length > 0) parts.push(`table bridge ${table} {${chains.join('')}\n}`);
  nft(`${parts.join('\n')}\n`, 'The filter for guests');
  const [filter = null] = readTables([`bridge ${table}`]);
  return digestOf(filter);
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
    ...left.flatMap((guest) => elementLines('add', table, guest)),
    ...left.flatMap((guest) => elementLines('delete', table, guest)),
    ...admitted.flatMap((guest) => elementLines('add', table, guest)),
  ];
  nft(`${lines.join('\n')}\n`, 'The filter for guests');
  return null;
}

function elementLines(verb: 'add' | 'delete', table: string, guest: GuestIdentity): string[] {
  const of = (set: string, elements: readonly string[]) =>
    elements.map((element) => `${verb} element bridge ${table} ${set} { ${element} }`);
  return [
    ...of('guests', addressesOf(guest)),
    ...of('any_address', anyAddressOf(guest)),
    ...of('taken', takenBy(guest)),
  ];
}

/** Who asks for a lease has no address yet, and looks whether the one that it is offered is free. */
function addressesOf({ tapName, macAddress, ipAddress, asksForLease }: GuestIdentity): string[] {
  const addresses = [...(ipAddress === null ? [] : [ipAddress]), ...(asksForLease ? [NONE] : [])];
  return addresses.map((address) => `"${tapName}" . ${macAddress} . ${address}`);
}

function anyAddressOf({ tapName, macAddress, ipAddress }: GuestIdentity): string[] {
  return ipAddress === null ? [`"${tapName}" . ${macAddress}`] : [];
}

const takenBy = ({ ipAddress }: GuestIdentity) => (ipAddress === null ? [] : [ipAddress]);

function elementsOf(elements: readonly string[]): string {
  return elements.length === 0 ? '' : `elements = { ${elements.join(', ')} };`;
}

const withoutPrefix = (address: string) => address.split('/')[0] ?? address;

const linksOf = (hostTag: string) => `"vt${hostTag}-*"`;

/**
 * ARP announces who has an address, so it is held to the same rule; and as the bridge learns from the frame, not
 * from what it says, both must be the guest's own. Whose address somebody else's server gives may have any but
 * the host's and those of other guests. The guests' network is IPv4: everything else is dropped.
 */
function sendersText(
  { hostTag }: HostSettings,
  ofBridge: readonly string[],
  guests: readonly GuestIdentity[],
): string {
  return `
  set guests {
    type ifname . ether_addr . ipv4_addr;
    ${elementsOf(guests.flatMap(addressesOf))}
  }
  set any_address {
    type ifname . ether_addr;
    ${elementsOf(guests.flatMap(anyAddressOf))}
  }
  set taken {
    type ipv4_addr;
    ${elementsOf([...ofBridge.map(withoutPrefix), ...guests.flatMap(takenBy)])}
  }
  chain prerouting {
    type filter hook prerouting priority filter; policy accept;
    iifname != ${linksOf(hostTag)} accept
    udp sport ${DHCP_SERVER_PORT} drop
    ether type arp iifname . ether saddr . arp saddr ip @guests jump own_arp
    ether type ip iifname . ether saddr . ip saddr @guests accept
    ether type arp arp saddr ip @taken drop
    ether type ip ip saddr @taken drop
    ether type arp iifname . ether saddr @any_address iifname . arp saddr ether @any_address accept
    ether type ip iifname . ether saddr @any_address accept
    drop
  }
  chain own_arp {
    iifname . arp saddr ether . arp saddr ip @guests accept
    drop
  }`;
}

/**
 * Uplinks are ports of the first bridge only: what goes from one bridge of guests to another passes there. The
 * host would forward what is sent to it for another guest, too: frames to the host itself (so says their type)
 * must not be for the networks that are on the bridge, the host's own addresses in them excepted.
 */
function isolationText({ hostTag }: HostSettings, ofBridge: readonly string[]): string {
  const links = linksOf(hostTag);
  const uplinks = `"${uplinkPattern(hostTag)}"`;
  const own = ofBridge.map(withoutPrefix).join(', ');
  const networks = ofBridge.map((network) => `ip daddr ${network} drop`);
  return `
  chain gateway {
    type filter hook prerouting priority filter; policy accept;
    iifname ${links} meta pkttype host jump to_host
    iifname ${uplinks} meta pkttype host jump to_host
  }
  chain to_host {
    ip daddr { ${own} } accept
    ${networks.join('\n    ')}
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    meta mark ${HOST_PORT_MARK} accept
    iifname ${links} oifname ${links} drop
    iifname ${links} oifname ${uplinks} drop
    iifname ${uplinks} oifname ${links} drop
    iifname ${uplinks} oifname ${uplinks} drop
  }`;
}
