// jobs, network: the bridge filter: which frames guests may send, and to whom. A guest may send only from its own MAC
// and IP address. The rules are in the bridge family, so they also apply between guests. Rules of IP are in
// nat-rules.ts.

import type { GuestIdentity } from '../../../engine/ports/network-ports.ts';
import { native } from '../native.ts';
import type { HostSettings, JobArgument } from '../protocol.ts';
import { HOST_PORT_MARK } from './nat-rules.ts';
import { nft, tableOf } from './nft.ts';
import { digestOf, readTables } from './nft-tables.ts';
import { uplinkPattern } from './secondary-bridges.ts';

const NONE = '0.0.0.0';
/** Guests must not act as DHCP servers. */
const DHCP_SERVER_PORT = 67;

/** Writes the filter for exactly these guests. Returns the digest of the rules; null when there is no table. */
export function makeGuestFilter(argument: JobArgument<'makeGuestFilter'>): string | null {
  const { settings, spec, guests } = argument;
  const table = tableOf(settings.hostTag);
  const { antiSpoofing, guestIsolation } = settings;
  const ofBridge = native.linkAddresses(spec.bridge);
  const chains = [
    ...(antiSpoofing ? [sendersText(settings, ofBridge, guests)] : []),
    ...(guestIsolation ? [isolationText(settings, ofBridge)] : []),
  ];
  // Adding first makes the deletion succeed in any case.
  const parts = [`add table bridge ${table}`, `delete table bridge ${table}`];
  if (chains.length > 0) parts.push(`table bridge ${table} {${chains.join('')}\n}`);
  nft(`${parts.join('\n')}\n`, 'The filter for guests');
  const [filter = null] = readTables([`bridge ${table}`]);
  return digestOf(filter);
}

/**
 * Adds and removes guests in one transaction. Removing an unknown one is no error. The sets are those of sendersText: a
 * change of their types changes the keys, too.
 */
export function changeGuestFilter({
  settings,
  admitted,
  left,
}: JobArgument<'changeGuestFilter'>): null {
  native.setElementsChange(tableOf(settings.hostTag), [
    // Adding first makes the deletion succeed in any case.
    ...changesOf('add', left),
    ...changesOf('delete', left),
    ...changesOf('add', admitted),
  ]);
  return null;
}

function changesOf(verb: 'add' | 'delete', guests: readonly GuestIdentity[]) {
  const sets = [
    { verb, set: 'guests', keys: guests.flatMap(addressKeysOf) },
    { verb, set: 'any_address', keys: guests.flatMap(anyAddressKeysOf) },
    { verb, set: 'taken', keys: guests.flatMap(takenBy).map(addressKey) },
    { verb, set: 'owners', keys: guests.flatMap(ownerKeysOf) },
  ];
  return sets.filter(({ keys }) => keys.length > 0);
}

function addressKeysOf(guest: GuestIdentity): Uint8Array[] {
  const sender = senderKey(guest);
  return sourcesOf(guest).map((address) => Buffer.concat([sender, addressKey(address)]));
}

function anyAddressKeysOf(guest: GuestIdentity): Uint8Array[] {
  return guest.ipAddress === null ? [senderKey(guest)] : [];
}

function ownerKeysOf({ tapName, ipAddress }: GuestIdentity): Uint8Array[] {
  return ipAddress === null ? [] : [Buffer.concat([nameKey(tapName), addressKey(ipAddress)])];
}

/** Bytes of a name of an interface, and of a MAC address, in a key: each part is filled up to four bytes. */
const NAME_BYTES = 16;
const MAC_BYTES = 8;

function nameKey(name: string): Buffer {
  const key = Buffer.alloc(NAME_BYTES);
  key.write(name, 'latin1');
  return key;
}

function senderKey({ tapName, macAddress }: GuestIdentity): Buffer {
  const address = Buffer.alloc(MAC_BYTES);
  address.write(macAddress.replaceAll(':', ''), 'hex');
  return Buffer.concat([nameKey(tapName), address]);
}

function addressKey(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

/** A guest that asks for a lease has no address yet, and probes whether the offered one is free. */
function sourcesOf({ ipAddress, asksForLease }: GuestIdentity): string[] {
  return [...(ipAddress === null ? [] : [ipAddress]), ...(asksForLease ? [NONE] : [])];
}

function addressesOf(guest: GuestIdentity): string[] {
  const { tapName, macAddress } = guest;
  return sourcesOf(guest).map((address) => `"${tapName}" . ${macAddress} . ${address}`);
}

function anyAddressOf({ tapName, macAddress, ipAddress }: GuestIdentity): string[] {
  return ipAddress === null ? [`"${tapName}" . ${macAddress}`] : [];
}

function ownersOf({ tapName, ipAddress }: GuestIdentity): string[] {
  return ipAddress === null ? [] : [`"${tapName}" . ${ipAddress}`];
}

const takenBy = ({ ipAddress }: GuestIdentity) => (ipAddress === null ? [] : [ipAddress]);

function elementsOf(elements: readonly string[]): string {
  return elements.length === 0 ? '' : `elements = { ${elements.join(', ')} };`;
}

const withoutPrefix = (address: string) => address.split('/')[0] ?? address;

const linksOf = (hostTag: string) => `"vt${hostTag}-*"`;

/**
 * ARP announces who has an address, so the same rule applies to it. The bridge learns from the frame's MAC address,
 * not from the ARP payload, so both must be the guest's own. A guest whose address comes from another DHCP server may
 * use any address except the host's and those of other guests. The guests' network is IPv4: everything else is
 * dropped. A question of ARP for the address of one guest goes to no other: the host asks once a second for one that boots,
 * and each guest that gets a broadcast wakes for it, which is most of the processor time of guests that are idle.
 */
function sendersText(
  { hostTag }: HostSettings,
  ofBridge: readonly string[],
  guests: readonly GuestIdentity[],
): string {
  const own = ofBridge.map(withoutPrefix);
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
    ${elementsOf([...own, ...guests.flatMap(takenBy)])}
  }
  set owners {
    type ifname . ipv4_addr;
    ${elementsOf(guests.flatMap(ownersOf))}
  }
  chain questions {
    type filter hook postrouting priority filter; policy accept;
    ether type != arp accept
    oifname != ${linksOf(hostTag)} accept
    arp operation != request accept
    arp daddr ip { ${own.join(', ')} } accept
    arp daddr ip @taken oifname . arp daddr ip != @owners drop
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
 * Uplinks, the ends of veth pairs on the first bridge, carry all traffic between bridges. The host would also route
 * packets between guests: a packet that is addressed to the host's MAC address must not have a destination in a
 * network of the bridge, except the host's own addresses.
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
