// jobs, network: secondary bridges. Linux limits a bridge to 1,023 ports. A secondary bridge has up to
// LIMITS.bridgeTapsMax taps and one veth pair that connects it to the first bridge, which has the host's address. To
// guests and host all bridges are one network.

import type { NetworkSpec } from '../../../engine/ports/network-ports.ts';
import { native } from '../native.ts';
import type { HostSettings, JobArgument, JobResult } from '../protocol.ts';
import { runProgram } from '../run-program.ts';
import { hideHostFrom } from './kernel-settings.ts';

/** Returns the name of the bridge with this number. 0 is the first bridge. */
export function bridgeName(hostTag: string, spec: NetworkSpec, bridgeNumber: number): string {
  return bridgeNumber === 0 ? spec.bridge : `vb${hostTag}-${bridgeNumber}`;
}

/** Returns the number of a bridge; null for a bridge that is not this daemon's. */
export function bridgeNumberIn(hostTag: string, spec: NetworkSpec, bridge: string): number | null {
  if (bridge === spec.bridge) return 0;
  const bridgeNumber = new RegExp(`^vb${hostTag}-(\\d+)$`).exec(bridge)?.[1];
  return bridgeNumber === undefined ? null : Number(bridgeNumber);
}

/** A pattern for nftables: the names of all secondary bridges. */
export const secondaryBridgePattern = (hostTag: string) => `vb${hostTag}-*`;

/** A pattern for nftables: the names of the ends of veth pairs that are ports of the first bridge. */
export const uplinkPattern = (hostTag: string) => `vu${hostTag}-*`;

/** Creates what is missing of a secondary bridge and its veth pair. */
export function ensureSecondaryBridge({
  settings,
  spec,
  bridgeNumber,
}: JobArgument<'ensureSecondaryBridge'>): null {
  const { hostTag } = settings;
  const bridge = bridgeName(hostTag, spec, bridgeNumber);
  const [uplink, downlink] = [`vu${hostTag}-${bridgeNumber}`, `vd${hostTag}-${bridgeNumber}`];
  const names = new Set(native.linkNames());
  const what = `Bridge ${bridge} for more guests`;
  const missing = [
    ...(names.has(bridge) ? [] : [`link add ${bridge} type bridge`]),
    ...(names.has(uplink) ? [] : [`link add ${uplink} type veth peer name ${downlink}`]),
  ];
  ip(missing, what);
  // Linux answers ARP for its addresses on every interface. Guests would take this bridge for their gateway, and
  // their packets would enter through it, where connections are not tracked.
  hideHostFrom(bridge);
  const joining = [
    `link set ${downlink} master ${bridge} up`,
    `link set ${uplink} master ${spec.bridge} up`,
    `link set ${bridge} up`,
  ];
  ip(joining, what);
  return null;
}

/** Returns every secondary bridge that exists, with its taps. */
export function findSecondaryBridges({
  settings,
}: JobArgument<'findSecondaryBridges'>): JobResult<'findSecondaryBridges'> {
  const { hostTag } = settings;
  const bridge = new RegExp(`^vb${hostTag}-(\\d+)$`);
  const tap = new RegExp(`^\\d+: (vt${hostTag}-[^@:]+)`, 'gm');
  return native.linkNames().flatMap((name) => {
    const bridgeNumber = bridge.exec(name)?.[1];
    if (bridgeNumber === undefined) return [];
    const ports = ip([`link show master ${name}`], `Bridge ${name} for more guests`);
    return [
      {
        bridgeNumber: Number(bridgeNumber),
        tapNames: [...ports.matchAll(tap)].map(([, found]) => found ?? ''),
      },
    ];
  });
}

/** Deletes a secondary bridge and its veth pair. Absent ones are no error. */
export function removeSecondaryBridge({
  settings,
  bridgeNumber,
}: JobArgument<'removeSecondaryBridge'>): null {
  const { hostTag } = settings;
  deleteLinks([`vb${hostTag}-${bridgeNumber}`, `vu${hostTag}-${bridgeNumber}`]);
  return null;
}

/** Deletes all secondary bridges and their veth pairs. */
export function removeSecondaryBridges({ hostTag }: HostSettings): void {
  const isOurs = (name: string) =>
    name.startsWith(`vb${hostTag}-`) || name.startsWith(`vu${hostTag}-`);
  deleteLinks(native.linkNames().filter(isOurs));
}

/** Deleting one end of a veth pair deletes the other. */
function deleteLinks(names: readonly string[]): void {
  const there = new Set(native.linkNames());
  const commands = names.filter((name) => there.has(name)).map((name) => `link delete ${name}`);
  ip(commands, 'Bridges for more guests');
}

/** Runs commands of ip(8) in one batch and returns its output. */
function ip(commands: readonly string[], what: string): string {
  if (commands.length === 0) return '';
  const words = { what: `${what} cannot be set up`, packageName: 'iproute2' };
  return runProgram('ip', ['-batch', '-'], words, { input: `${commands.join('\n')}\n` });
}
