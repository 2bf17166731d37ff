// jobs, network: creates and removes the first bridge, forwarding and NAT of the guests' network, and the taps that
// are ports of its bridges.

import type { NetworkSpec } from '../../../engine/ports/network-ports.ts';
import type { LaunchRequest } from '../../../engine/ports/process-ports.ts';
import type { HostChanges } from '../../../engine/records.ts';
import { errnoOf, JobFault } from '../fault.ts';
import { native } from '../native.ts';
import type { HostSettings, JobArgument } from '../protocol.ts';
import { endLeaseServer } from './dhcp-server.ts';
import { endResolvers } from './egress/resolvers.ts';
import { egressTableOf } from './egress/tables.ts';
import {
  readIpForward,
  readRouteLocalnet,
  writeIpForward,
  writeRouteLocalnet,
} from './kernel-settings.ts';
import { natRules } from './nat-rules.ts';
import { nft, tableOf } from './nft.ts';
import { digestOf, readTables } from './nft-tables.ts';
import { bridgeName, removeSecondaryBridges } from './secondary-bridges.ts';

/**
 * Returns the host's settings that ensureNetwork will change, with their previous values. Values that are recorded
 * already are kept: later readings would find the daemon's own.
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
 * Creates what is missing of bridge, address, forwarding and NAT. `changes` must have been recorded before. Returns
 * the digest of the NAT rules.
 */
export function ensureNetwork({ settings, spec, changes }: JobArgument<'ensureNetwork'>): string {
  // An address of earlier settings is removed first: with the first address of a network the kernel removes its later
  // ones.
  deleteAddresses(spec, changes, (address) => address !== addressOf(spec));
  native.bridgeEnsure(spec.bridge, spec.hostIp, spec.prefixLength);
  writeIpForward('1');
  nft(natRules(settings, spec), 'NAT for guests');
  const [nat = null] = readTables([`ip ${tableOf(settings.hostTag)}`]);
  return digestOf(nat) ?? '';
}

/**
 * Removes what ensureNetwork created and restores the recorded settings. A bridge that another program created stays.
 */
export function removeNetwork({ settings, spec, changes }: JobArgument<'removeNetwork'>): null {
  const table = tableOf(settings.hostTag);
  // Each table is added first so that the deletion succeeds in any case.
  const egress = egressTableOf(settings.hostTag);
  const tables = [
    `ip ${table}`,
    `ip ${table}_ports`,
    `bridge ${table}`,
    `ip ${egress}`,
    `bridge ${egress}`,
  ];
  const lines = tables.map((name) => `add table ${name}\ndelete table ${name}\n`);
  nft(lines.join(''), 'The network of guests');
  endLeaseServer(settings.hostTag);
  endResolvers(settings.hostTag);
  removeSecondaryBridges(settings);
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

/** The bridge of a guest's tap. */
export function bridgeOfTap(
  { hostTag }: HostSettings,
  { spec }: NonNullable<LaunchRequest['tap']>,
  bridgeNumber: number,
): string {
  return bridgeName(hostTag, spec, bridgeNumber);
}

/** Whether a launch failed because of its tap. */
export function isAboutTap(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).syscall?.startsWith('tap: ') === true;
}

/**
 * The error of a launch that could not make its tap: CAPACITY_EXHAUSTED when the bridge is full, HOST_PERMISSION when
 * taps cannot be made, otherwise the system's.
 */
export function tapFault(error: unknown, bridge: string): unknown {
  const errno = errnoOf(error);
  if (errno === 'EXFULL') {
    const message = `Bridge ${bridge} has as many ports as Linux allows (1,023)`;
    return new JobFault('CAPACITY_EXHAUSTED', message, error);
  }
  if (errno === 'ENOENT' || errno === 'EACCES' || errno === 'EPERM') {
    const remedy = 'load the tun module and run volantd as root';
    return new JobFault('HOST_PERMISSION', `Taps cannot be made: ${remedy}`, error);
  }
  return error;
}

/**
 * Makes taps ports of their bridges again, and sets them up. Taps that were removed meanwhile are no error. Tries
 * all, then throws the first error.
 */
export function joinTaps({ settings, spec, taps }: JobArgument<'joinTaps'>): null {
  const failures = taps.flatMap(({ tapName, bridgeNumber }) => {
    try {
      native.linkJoin(tapName, bridgeName(settings.hostTag, spec, bridgeNumber));
      return [];
    } catch (error) {
      return native.linkNames().includes(tapName) ? [error] : [];
    }
  });
  if (failures.length > 0) throw failures[0];
  return null;
}

/** Deletes taps, and the tracked connections of their addresses: another guest may get an address next. */
export function removeTaps({ tapNames, forgottenAddresses }: JobArgument<'removeTaps'>): null {
  native.tapsDelete(tapNames);
  if (forgottenAddresses.length > 0) native.flowsForget([], forgottenAddresses);
  return null;
}

/** Waits until the kernel has freed the taps that were deleted. */
export function settleTaps(): null {
  native.tapsSettle();
  return null;
}
