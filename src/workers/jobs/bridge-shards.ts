// workers, job: more bridges for more guests. Linux gives a bridge 1,023 ports; a shard is a bridge of
// its own with up to LIMITS.bridgeTapsMax taps, and one cable (a veth pair) to the first bridge, which has
// the host's address. To guests and host all of them are one network.

import { execFileSync } from 'node:child_process';
import type { NetworkSpec } from '../../engine/network-ports.ts';
import { native } from '../native.ts';
import type { HostSettings, JobArgument, JobResult } from '../protocol.ts';
import { JobFault } from './fault.ts';
import { hideHostFrom } from './kernel-settings.ts';

const TIMEOUT_MS = 10_000;
/** Some hundred bytes for each of the 1,023 ports of a bridge. */
const OUTPUT_BYTES_MAX = 16 * 1024 ** 2;

/** Shard 0 is the first bridge itself. */
export function bridgeOfShard(hostTag: string, spec: NetworkSpec, shard: number): string {
  return shard === 0 ? spec.bridge : `vb${hostTag}-${shard}`;
}

/** null for a bridge that is none of this daemon's. */
export function shardOfBridge(hostTag: string, spec: NetworkSpec, bridge: string): number | null {
  if (bridge === spec.bridge) return 0;
  const shard = new RegExp(`^vb${hostTag}-(\\d+)$`).exec(bridge)?.[1];
  return shard === undefined ? null : Number(shard);
}

/** All bridges but the first, for nftables. */
export const shardPattern = (hostTag: string) => `vb${hostTag}-*`;

/** The ends of cables that are ports of the first bridge, for nftables. */
export const uplinkPattern = (hostTag: string) => `vu${hostTag}-*`;

/** Makes what is missing of a shard. */
export function ensureShard({ settings, spec, shard }: JobArgument<'ensureShard'>): null {
  const { hostTag } = settings;
  const bridge = bridgeOfShard(hostTag, spec, shard);
  const [uplink, downlink] = [`vu${hostTag}-${shard}`, `vd${hostTag}-${shard}`];
  const names = new Set(native.linkNames());
  const what = `Bridge ${bridge} for more guests`;
  const missing = [
    ...(names.has(bridge) ? [] : [`link add ${bridge} type bridge`]),
    ...(names.has(uplink) ? [] : [`link add ${uplink} type veth peer name ${downlink}`]),
  ];
  ip(missing, what);
  // Linux answers ARP for its addresses on every interface: guests would take this bridge for their gateway,
  // and what they send would come in by it, where connections are not tracked.
  hideHostFrom(bridge);
  const joining = [
    `link set ${downlink} master ${bridge} up`,
    `link set ${uplink} master ${spec.bridge} up`,
    `link set ${bridge} up`,
  ];
  ip(joining, what);
  return null;
}

/** Every shard that is there, and the taps that are on it. */
export function findShards({ settings }: JobArgument<'findShards'>): JobResult<'findShards'> {
  const { hostTag } = settings;
  const bridge = new RegExp(`^vb${hostTag}-(\\d+)$`);
  const tap = new RegExp(`^\\d+: (vt${hostTag}-[^@:]+)`, 'gm');
  return native.linkNames().flatMap((name) => {
    const shard = bridge.exec(name)?.[1];
    if (shard === undefined) return [];
    const ports = ip([`link show master ${name}`], `Bridge ${name} for more guests`);
    return [
      { shard: Number(shard), tapNames: [...ports.matchAll(tap)].map(([, found]) => found ?? '') },
    ];
  });
}

/** Bridge and cable. What is missing of them is fine. */
export function removeShard({ settings, shard }: JobArgument<'removeShard'>): null {
  const { hostTag } = settings;
  deleteLinks([`vb${hostTag}-${shard}`, `vu${hostTag}-${shard}`]);
  return null;
}

/** Bridges and cables of all shards. */
export function removeShards({ hostTag }: HostSettings): void {
  const isOurs = (name: string) =>
    name.startsWith(`vb${hostTag}-`) || name.startsWith(`vu${hostTag}-`);
  deleteLinks(native.linkNames().filter(isOurs));
}

/** The other end of a cable goes with this one. */
function deleteLinks(names: readonly string[]): void {
  const there = new Set(native.linkNames());
  const commands = names.filter((name) => there.has(name)).map((name) => `link delete ${name}`);
  ip(commands, 'Bridges for more guests');
}

/** Returns what it prints. */
function ip(commands: readonly string[], what: string): string {
  if (commands.length === 0) return '';
  try {
    return execFileSync('ip', ['-batch', '-'], {
      input: `${commands.join('\n')}\n`,
      encoding: 'utf8',
      maxBuffer: OUTPUT_BYTES_MAX,
      timeout: TIMEOUT_MS,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
    });
  } catch (error) {
    throw new JobFault('HOST_OPERATION_FAILED', `${what} cannot be set up: see the log`, error);
  }
}
