// workers, job: the guests' network: bridge, forwarding and NAT; and the taps that are ports of it.

import { readFileSync, writeFileSync } from 'node:fs';
import type { NetworkSpec } from '../../engine/network-ports.ts';
import type { LaunchRequest } from '../../engine/ports.ts';
import type { HostChanges } from '../../engine/records.ts';
import { native } from '../native.ts';
import type { HostSettings, JobArgument } from '../protocol.ts';
import { bridgeOfShard, removeShards, shardPattern } from './bridge-shards.ts';
import { endLeaseServer } from './dhcp-server.ts';
import { errnoOf, JobFault } from './fault.ts';
import { nft, tableOf } from './nft.ts';

const IP_FORWARD = '/proc/sys/net/ipv4/ip_forward';

/** Bridge, address, forwarding, NAT: whatever is missing of it. Tells what was changed beside our own. */
export function ensureNetwork({ settings, spec }: JobArgument<'ensureNetwork'>): HostChanges {
  const { created } = native.bridgeEnsure(spec.bridge, spec.hostIp, spec.prefixLength);
  const before = readFileSync(IP_FORWARD, 'utf8').trim();
  if (before !== '1') writeFileSync(IP_FORWARD, '1\n');
  nft(natRules(settings, spec), 'NAT for guests');
  return {
    ...(created ? { bridgeCreated: true } : {}),
    ...(before === '1' ? {} : { ipForwardBefore: before }),
  };
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
  if (changes.bridgeCreated === true) native.bridgeDelete(spec.bridge);
  if (changes.ipForwardBefore !== undefined) {
    writeFileSync(IP_FORWARD, `${changes.ipForwardBefore}\n`);
  }
  return null;
}

/** Idempotent: a tap that is a port of the bridge already stays as it is. */
export function attachTap(
  { hostTag }: HostSettings,
  { guest, spec, shard }: NonNullable<LaunchRequest['tap']>,
): void {
  const bridge = bridgeOfShard(hostTag, spec, shard);
  try {
    native.tapAttach(guest.tapName, bridge);
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

export function removeTaps({ tapNames }: JobArgument<'removeTaps'>): null {
  native.tapsDelete(tapNames);
  return null;
}

/**
 * One transaction: the old rules count until the new ones do. Where bridges hand frames to the rules of
 * IP (br_netfilter), a packet to or from a shard passes twice: it is looked at on the first bridge only.
 */
function natRules({ hostTag }: HostSettings, { bridge, subnet }: NetworkSpec): string {
  const table = tableOf(hostTag);
  return `
add table ip ${table}
delete table ip ${table}
table ip ${table} {
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
    iifname "${shardPattern(hostTag)}" notrack
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${subnet} oifname != "${bridge}" masquerade
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "${bridge}" accept
    iifname "${shardPattern(hostTag)}" accept
    oifname "${bridge}" ct state established,related accept
  }
}
`;
}
