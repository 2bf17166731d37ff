// workers, job: more bridges for more guests. Linux gives a bridge 1,023 ports; a shard is a bridge of
// its own with up to LIMITS.bridgeTapsMax taps, and one cable (a veth pair) to the first bridge, which has
// the host's address. To guests and host all of them are one network.

import { execFileSync } from 'node:child_process';
import type { NetworkSpec } from '../../engine/network-ports.ts';
import { native } from '../native.ts';
import type { HostSettings, JobArgument } from '../protocol.ts';
import { JobFault } from './fault.ts';

const TIMEOUT_MS = 10_000;

/** Shard 0 is the first bridge itself. */
export function bridgeOfShard(hostTag: string, spec: NetworkSpec, shard: number): string {
  return shard === 0 ? spec.bridge : `vb${hostTag}-${shard}`;
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
  const commands = [
    ...(names.has(bridge) ? [] : [`link add ${bridge} type bridge`]),
    ...(names.has(uplink) ? [] : [`link add ${uplink} type veth peer name ${downlink}`]),
    `link set ${downlink} master ${bridge} up`,
    `link set ${uplink} master ${spec.bridge} up`,
    `link set ${bridge} up`,
  ];
  ip(commands, `Bridge ${bridge} for more guests`);
  return null;
}

/** Bridges and cables of all shards. */
export function removeShards({ hostTag }: HostSettings): void {
  const names = native.linkNames();
  const ours = names.filter(
    (name) => name.startsWith(`vb${hostTag}-`) || name.startsWith(`vu${hostTag}-`),
  );
  // The other end of a cable goes with this one.
  ip(
    ours.map((name) => `link delete ${name}`),
    'Bridges for more guests',
  );
}

function ip(commands: readonly string[], what: string): void {
  if (commands.length === 0) return;
  try {
    execFileSync('ip', ['-batch', '-'], {
      input: `${commands.join('\n')}\n`,
      timeout: TIMEOUT_MS,
      stdio: ['pipe', 'ignore', 'pipe'],
      env: { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` },
    });
  } catch (error) {
    throw new JobFault('HOST_OPERATION_FAILED', `${what} cannot be set up: see the log`, error);
  }
}
