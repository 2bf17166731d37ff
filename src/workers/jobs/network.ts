// workers, job: the guests' network: bridge, forwarding and NAT; and the taps that are ports of it.

import type { NetworkSpec } from '../../engine/network-ports.ts';
import type { LaunchRequest } from '../../engine/ports.ts';
import type { HostChanges } from '../../engine/records.ts';
import { native } from '../native.ts';
import type { HostSettings, JobArgument } from '../protocol.ts';
import { bridgeOfShard, removeShards } from './bridge-shards.ts';
import { endLeaseServer } from './dhcp-server.ts';
import { errnoOf, JobFault } from './fault.ts';
import {
  readIpForward,
  readRouteLocalnet,
  writeIpForward,
  writeRouteLocalnet,
} from './kernel-settings.ts';
import { natRules } from './nat-rules.ts';
import { nft, tableOf } from './nft.ts';
import { digestOf, readTables } from './nft-tables.ts';

/**
 * What the host is changed in beside objects of our own, with what was there before: what is written down
 * already counts, not what we find of our own later.
 */
export function planNetwork({ spec, changes }: JobArgument<'planNetwork'>): HostChanges {
  const exists = native.linkNames().includes(spec.bridge);
  const present = exists ? native.linkAddresses(spec.bridge) : [];
  const ours = (changes.addressesAdded ?? []).filter((address) => present.includes(address));
  const wanted = addressOf(spec);
  const ipForward = readIpForward();
  const routeLocalnet = readRouteLocalnet(spec.bridge);
  return {
    ...(exists ? {} : { bridgeCreated: true }),
    ...(ipForward === '1' ? {} : { ipForwardBefore: ipForward }),
    ...(routeLocalnet === '1' ? {} : { routeLocalnetBefore: routeLocalnet }),
    ...changes,
    addressesAdded: present.includes(wanted) ? ours : [...ours, wanted],
  };
}

/**
 * Bridge, address, forwarding, NAT: whatever is missing of it. What `changes` says is written down. Tells the rules as they
 * are read back later.
 */
export function ensureNetwork({ settings, spec, changes }: JobArgument<'ensureNetwork'>): string {
  // The settings may have named another one before. It goes first: with the first address of a network the
  // kernel removes the later ones.
  deleteAddresses(spec, changes, (address) => address !== addressOf(spec));
  native.bridgeEnsure(spec.bridge, spec.hostIp, spec.prefixLength);
  writeIpForward('1');
  nft(natRules(settings, spec), 'NAT for guests');
  const [nat = null] = readTables([`ip ${tableOf(settings.hostTag)}`]);
  return digestOf(nat) ?? '';
}

/** The opposite, as far as we made it. A bridge that has become somebody else's too stays. */
export function removeNetwork({ settings, spec, changes }: JobArgument<'removeNetwork'>): null {
  const table = tableOf(settings.hostTag);
  // Adding first makes the deletion succeed whether it was there or not.
  const tables = [`ip ${table}`, `ip ${table}_ports`, `bridge ${table}`];
  const lines = tables.map((name) => `add table ${name}\ndelete table ${name}\n`);
  nft(lines.join(''), 'The network of guests');
  endLeaseServer(settings.hostTag);
  removeShards(settings);
  deleteAddresses(spec, changes, () => true);
  if (changes.routeLocalnetBefore !== undefined) {
    writeRouteLocalnet(spec.bridge, changes.routeLocalnetBefore);
  }
  if (changes.bridgeCreated === true) native.bridgeDelete(spec.bridge);
  if (changes.ipForwardBefore !== undefined) writeIpForward(changes.ipForwardBefore);
  return null;
}

const addressOf = ({ hostIp, prefixLength }: NetworkSpec) => `${hostIp}/${prefixLength}`;

function deleteAddresses(
  { bridge }: NetworkSpec,
  { addressesAdded = [] }: HostChanges,
  isUnwanted: (address: string) => boolean,
): void {
  for (const text of addressesAdded.filter(isUnwanted)) {
    const [address = '', prefixLength] = text.split('/');
    native.addressDelete(bridge, address, Number(prefixLength));
  }
}

/** Idempotent: a tap that is a port of the bridge already stays as it is. */
export function attachTap(
  { hostTag }: HostSettings,
  { guest, spec }: NonNullable<LaunchRequest['tap']>,
  shard: number,
  ownerUid: number,
): void {
  const bridge = bridgeOfShard(hostTag, spec, shard);
  try {
    native.tapAttach(guest.tapName, bridge, ownerUid);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'EXFULL') {
      const message = `Bridge ${bridge} has as many ports as Linux allows (1,023)`;
      throw new JobFault('CAPACITY_EXHAUSTED', message, error);
    }
    if (errno === 'ENOENT' || errno === 'EACCES' || errno === 'EPERM') {
      const remedy = 'load the tun module and run volantd as root';
      throw new JobFault('HOST_PERMISSION', `Taps cannot be made: ${remedy}`, error);
    }
    throw error;
  }
}

/** Puts taps back on their bridges, and up. One that is gone meanwhile is fine. Tries all before it throws. */
export function joinTaps({ settings, spec, taps }: JobArgument<'joinTaps'>): null {
  const failures = taps.flatMap(({ tapName, shard }) => {
    try {
      native.linkJoin(tapName, bridgeOfShard(settings.hostTag, spec, shard));
      return [];
    } catch (error) {
      return native.linkNames().includes(tapName) ? [error] : [];
    }
  });
  if (failures.length > 0) throw failures[0];
  return null;
}

/** Connections with these addresses are forgotten, too: each may be another guest's next. */
export function removeTaps({ tapNames, forgottenAddresses }: JobArgument<'removeTaps'>): null {
  native.tapsDelete(tapNames);
  if (forgottenAddresses.length > 0) native.flowsForget([], forgottenAddresses);
  return null;
}
