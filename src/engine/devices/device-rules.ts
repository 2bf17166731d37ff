// engine: what a PCI device must be to be handed to a VM. Pure: from facts to words.

import { type ErrorCode, VolantError } from '../../lib/errors.ts';
import type { DeviceFacts } from '../device-ports.ts';

/** Drivers that leave a device to others: its group is usable all the same. */
const HARMLESS_DRIVERS = ['', 'vfio-pci', 'pci-stub', 'pcieport'];

/** One reason why a device cannot be had. */
export interface DeviceProblem {
  readonly address: string;
  readonly code: ErrorCode;
  /** A sentence that names the device. */
  readonly text: string;
}

/** Name of another VM that has a device; undefined when none has. */
type OwnerOf = (address: string) => string | undefined;

/** Who asks, and for what. */
export interface DeviceDemand {
  /** The devices that are asked for together: their drivers do not matter, they will change. */
  readonly together: readonly string[];
  /** VOLANT_VFIO_ALLOW. */
  readonly operatorAllows: readonly string[];
  /** Of the request or the VM's config; it can only narrow what the operator allows. */
  readonly allowlist: readonly string[];
  readonly ownerOf: OwnerOf;
}

/** Everything that is in the way, what is most worth telling first. Empty when the device can be had. */
export function problemsOf(device: DeviceFacts, demand: DeviceDemand): readonly DeviceProblem[] {
  if (!device.present) return [absent(device.address)];
  return [
    ...claimsOn(device, demand.ownerOf, demand.operatorAllows),
    ...isForbidden(device, demand.allowlist, 'the allowlist of the request'),
    ...problemsOfHost(device),
    ...problemsOfGroup(device, demand.together),
  ];
}

/** Whose device it is, for taking and for giving back: the kernel gives a group to one hypervisor as a whole. */
export function claimsOn(
  device: DeviceFacts,
  ownerOf: OwnerOf,
  operatorAllows: readonly string[],
): readonly DeviceProblem[] {
  const { address, groupMembers } = device;
  const members = new Set([address, ...groupMembers.map((member) => member.address)]);
  const claims = [...members].flatMap((member) => {
    const owner = ownerOf(member);
    if (owner === undefined) return [];
    const how = member === address ? '' : `shares its IOMMU group with ${member}, which `;
    return [problem(address, 'DEVICE_OWNED', `${how}belongs to ${owner}`)];
  });
  return [...claims, ...isForbidden(device, operatorAllows, 'VOLANT_VFIO_ALLOW')];
}

/** `vvvv:dddd` and `vvvv:*` are compared with the ids, anything else with the address. Empty allows all. */
function isForbidden(
  { address, vendor, device }: DeviceFacts,
  patterns: readonly string[],
  list: string,
): readonly DeviceProblem[] {
  const names = [address, `${vendor}:${device}`, `${vendor}:*`];
  const isAllowed = patterns.some((pattern) => names.includes(pattern.trim().toLowerCase()));
  if (patterns.length === 0 || isAllowed) return [];
  return [problem(address, 'DEVICE_FORBIDDEN', `(${vendor}:${device}) is not in ${list}`)];
}

function problemsOfHost({ address, isBridge, iommuGroup, usedBy }: DeviceFacts) {
  return [
    ...(iommuGroup === '' ? [withoutGroup(address)] : []),
    ...(usedBy === null ? [] : [problem(address, 'DEVICE_IN_USE', `is in use: ${usedBy}`)]),
    ...(isBridge
      ? [problem(address, 'DEVICE_IN_USE', 'is a bridge, which leads to other devices')]
      : []),
  ];
}

/** Other devices of the group that a host driver has: VFIO gives out whole groups only. */
function problemsOfGroup({ address, groupMembers }: DeviceFacts, together: readonly string[]) {
  const strangers = groupMembers.filter(
    (member) =>
      !member.isBridge &&
      !together.includes(member.address) &&
      !HARMLESS_DRIVERS.includes(member.driver),
  );
  if (strangers.length === 0) return [];
  const names = strangers.map((member) => `${member.address} (${member.driver})`).join(', ');
  return [problem(address, 'GROUP_NOT_VIABLE', `shares its IOMMU group with ${names}`)];
}

/** Throws what the first problem is, with the problems of all devices as details. */
export function refuse(problems: readonly DeviceProblem[]): void {
  const [first] = problems;
  if (first === undefined) return;
  const details: Record<string, string> = {};
  for (const { address, text } of problems) {
    details[address] = details[address] === undefined ? text : `${details[address]}; ${text}`;
  }
  throw new VolantError(first.code, first.text, { details });
}

export function absent(address: string): DeviceProblem {
  return { address, code: 'DEVICE_NOT_FOUND', text: `There is no PCI device ${address}` };
}

export function withoutGroup(address: string): DeviceProblem {
  const remedy = 'is the IOMMU on in the firmware, and with intel_iommu=on or amd_iommu=on?';
  return problem(address, 'VFIO_UNAVAILABLE', `has no IOMMU group: ${remedy}`);
}

/** `what` goes on after the name of the device. */
export function problem(address: string, code: ErrorCode, what: string): DeviceProblem {
  return { address, code, text: `Device ${address} ${what}` };
}
